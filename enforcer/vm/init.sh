#!/bin/busybox sh
# SPDX-FileCopyrightText: The writ authors
# SPDX-License-Identifier: Apache-2.0
#
# Process 1 of the guest, twice: on the initramfs it copies everything into a tmpfs and starts itself there; there it mounts what a
# Linux system has, then runs /test/run, which guest.go writes.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
bb=/bin/busybox

if [ "$1" != second ]; then
	$bb mkdir /new
	$bb mount -t tmpfs -o mode=755,size=75% root /new
	for entry in bin init test; do $bb cp -a /$entry /new/; done
	$bb mkdir -p /new/dev /new/proc /new/sys /new/tmp /new/root /new/run /new/etc /new/sbin /new/usr/bin /new/usr/sbin
	$bb mount -t devtmpfs dev /new/dev
	exec $bb switch_root -c /dev/ttyS0 /new /init second
fi

$bb --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t securityfs security /sys/kernel/security
mount -t tracefs tracing /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/etc/group
printf '127.0.0.1 localhost\n' >/etc/hosts

stty -F /dev/ttyS1 raw -echo
sh /test/run >/dev/ttyS1 2>&1 </dev/null
sync
poweroff -f
