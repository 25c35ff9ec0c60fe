#!/usr/bin/env bash
# SPDX-FileCopyrightText: The writ authors
# SPDX-License-Identifier: Apache-2.0
#
# usage: kernel.sh VERSION SUITE FOLDER
#
# Puts Debian's cloud kernel of SUITE into FOLDER as vmlinuz, once: nothing is done where it stands already. It must be a
# kernel of VERSION ("6.12"). apt works in directories of its own, with the mirror that this machine uses, so the system's
# package lists, sources and /boot stay as they are. Neither root nor an install is needed.
# WRIT_DEBIAN_MIRROR names a mirror where the machine has none of Debian's.
set -euo pipefail

version=$1 suite=$2 folder=$3
if [ -s "$folder/vmlinuz" ]; then exit 0; fi

fail() { echo "kernel.sh: $*" >&2; exit 2; }
for program in apt-get apt-cache dpkg-deb tar; do
	command -v "$program" >/dev/null || fail "needs $program, which a Debian system has: fetch the kernel there and copy $folder"
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || fail "needs $keyring: install debian-archive-keyring"

mirror=${WRIT_DEBIAN_MIRROR:-$(apt-get indextargets --no-release-info --format '$(REPO_URI)' | grep -E '/debian/?$' | sort -u | head -n 1 || true)}
[ -n "$mirror" ] || fail "found no Debian mirror in this machine's apt sources: set WRIT_DEBIAN_MIRROR"

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(realpath "$(dirname "$folder")")/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,new}
echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/sources.list"
apt=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists"
	-o "Dir::Cache=$work/cache" -o Dir::State::status=/dev/null -o Debug::NoLocking=1 -o APT::Architecture=amd64
	-o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3)

echo "kernel.sh: fetching Debian's cloud kernel $version from $suite"
apt-get "${apt[@]}" update -qq
package=$(apt-cache "${apt[@]}" depends linux-image-cloud-amd64 | awk '/Depends:/ {print $2; exit}')
case $package in
linux-image-"$version".*-cloud-amd64) ;;
*) fail "$suite has ${package:-no cloud kernel}, not a kernel $version: change the table of kernels in the Makefile" ;;
esac
(cd "$work" && apt-get "${apt[@]}" download -qq "$package")
dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar -x -C "$work/new" --strip-components=2 --wildcards './boot/vmlinuz-*'
mv "$work"/new/vmlinuz-* "$work/new/vmlinuz"
basename "$work"/linux-image-*.deb >"$work/new/package"
chmod 755 "$work/new"
rm -rf "$folder"
mv "$work/new" "$folder"
echo "kernel.sh: $(cat "$folder/package")"
