/* SPDX-FileCopyrightText: The writ authors */
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The kernel's words, as far as exec.bpf.c reads them. Fields are found by name when the program is loaded (CO-RE), so order,
 * offset and what is left out here do not matter. A name___word is another shape that the same kernel struct has in some versions.
 */
#pragma once

typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_F_INNER_MAP = 1 << 12,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};

/* include/uapi/linux/bpf.h */
struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

/* include/linux/dcache.h, little endian. It is read whole, so it has all its fields; its layout has not changed since Linux 3.5. */
struct qstr {
	__u32 hash;
	__u32 len;
	const unsigned char *name;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)


/* include/linux/list_bl.h */
struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

/* include/linux/seqlock_types.h (before 6.9 seqlock.h) */
struct seqcount {
	unsigned int sequence;
};

struct seqcount_spinlock {
	struct seqcount seqcount;
};

/* include/linux/fs.h */
struct inode {
	unsigned int i_nlink;
};

/* include/linux/dcache.h */
struct dentry {
	struct seqcount_spinlock d_seq;
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

/* include/linux/mount.h */
struct vfsmount {
	struct dentry *mnt_root;
};

/* include/linux/path.h */
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

/* include/linux/fs.h */
struct file {
	struct path f_path;
};

/* include/linux/rbtree_types.h */
struct rb_node {
	struct rb_node *rb_right;
};

struct rb_root {
	struct rb_node *rb_node;
};

/* include/linux/ns_common.h; ns_id since 6.18 */
struct ns_common {
	unsigned int inum;
};

struct ns_common___id {
	__u64 ns_id;
};

/* fs/mount.h */
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};

/* since 6.8 */
struct mount___unique {
	__u64 mnt_id_unique;
	struct rb_node mnt_node;
};

struct mnt_namespace {
	struct ns_common ns;
	__u64 event;
};

/* until 6.17 */
struct mnt_namespace___seq {
	__u64 seq;
};

/* since 6.18 */
struct mnt_namespace___id {
	struct ns_common___id ns;
};

/* since 6.8 */
struct mnt_namespace___tree {
	struct rb_root mounts;
};

/* since 6.14 */
struct mnt_namespace___last {
	struct rb_node *mnt_last_node;
};

/* include/linux/nsproxy.h */
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

/* include/linux/fs_struct.h */
struct fs_struct {
	struct path root;
};

/* include/linux/mm_types.h */
struct mm_struct {
	struct file *exe_file;
};

/* include/linux/sched.h */
struct task_struct {
	int tgid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
};

/* include/linux/binfmts.h */
struct linux_binprm {
	struct file *file;
};

#pragma clang attribute pop
