/* SPDX-FileCopyrightText: The writ authors */
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* The path of a file, and how it was reached. */
#pragma once

static __always_inline struct mount *real_mount(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/*
 * Not inlined: where the kernel lacks the field, the instructions that read it are invalid, and the verifier must not come across
 * them. Inlined, the compiler may move them ahead of the check that the field exists.
 */
static __noinline __u64 unique_id(struct mount *m)
{
	return BPF_CORE_READ((struct mount___unique *)m, mnt_id_unique);
}

/* Every mount on the way must be in the anchor's namespace and not newer than the anchor. */
static __always_inline void check_mount(struct scratch *s, struct mount *m)
{
	struct mnt_namespace *ns = BPF_CORE_READ(m, mnt_ns);

	if ((__u64)ns >= (__u64)-4095) { /* MNT_NS_INTERNAL of fs/mount.h: a mount of the kernel's own */
		s->walk.internal = 1;
		return;
	}
	if ((__u64)ns != s->walk.ns)
		s->walk.foreign = 1;
	if (bpf_core_field_exists(struct mount___unique, mnt_id_unique) && unique_id(m) > s->anchor.newest)
		s->walk.foreign = 1;
}

static __always_inline void mix(struct scratch *s, __u64 v)
{
	s->walk.mix = (s->walk.mix ^ v) * 0x9e3779b97f4a7c15ULL;
	s->walk.mix ^= s->walk.mix >> 32;
}

static __always_inline int prepend(struct ctx *c, struct dentry *d)
{
	struct scratch *s = c->s;
	struct qstr q = BPF_CORE_READ(d, d_name);
	__u32 off = s->walk.off, len = q.len;

	if (len > MAX_NAME || off < len + 2) {
		s->walk.too_long = 1;
		return 1;
	}
	off -= len + 1;
	s->walk.off = off;
	off &= PATH_MASK;
	c->path[off] = '/';
	len &= MAX_NAME;
	if (bpf_probe_read_kernel(&c->path[off + 1], len, q.name))
		s->walk.torn = 1;
	return 0;
}

/* One step up: from a mount's root to where it is mounted, or from a dentry to its parent. */
static long walk_step(__u64 i, struct ctx *c)
{
	struct scratch *s = c->s;
	struct dentry *d = (void *)s->walk.dentry, *parent;
	struct mount *m = (void *)s->walk.mount, *up;
	__u32 seq;

	if (!d || !m) {
		s->walk.torn = 1;
		return 1;
	}
	if ((__u64)d == s->walk.root) {
		up = BPF_CORE_READ(m, mnt_parent);
		mix(s, (__u64)m);
		if (up == m) {
			s->walk.top = 1;
			return 1;
		}
		s->walk.dentry = (__u64)BPF_CORE_READ(m, mnt_mountpoint);
		s->walk.mount = (__u64)up;
		s->walk.root = (__u64)BPF_CORE_READ(up, mnt.mnt_root);
		if (s->walk.copy)
			check_mount(s, up);
		return 0;
	}
	seq = BPF_CORE_READ(d, d_seq.seqcount.sequence);
	__sync_fetch_and_add(&s->fence, 1); /* a full barrier: the sequence is read before what it guards */
	parent = BPF_CORE_READ(d, d_parent);
	mix(s, (__u64)d);
	mix(s, seq);
	if (seq & 1)
		s->walk.torn = 1;
	if (s->walk.copy && prepend(c, d))
		return 1;
	if (parent == d) {
		s->walk.stray = 1;
		return 1;
	}
	s->walk.dentry = (__u64)parent;
	return 0;
}

static __always_inline void walk_from(struct ctx *c, struct dentry *d, struct mount *m, int copy)
{
	struct scratch *s = c->s;

	s->walk.dentry = (__u64)d;
	s->walk.mount = (__u64)m;
	s->walk.root = (__u64)BPF_CORE_READ(m, mnt.mnt_root);
	s->walk.mix = 0;
	s->walk.copy = copy;
	s->walk.top = 0;
	s->walk.stray = 0;
	__sync_fetch_and_add(&s->fence, 1);
	bpf_loop(MAX_WALK, walk_step, c, 0);
}

/*
 * Builds the path and says whether nothing moved meanwhile. Every rename counts up the d_seq of the dentries it moves (__d_move in
 * fs/dcache.c), so a second walk that meets the same dentries with the same even counts proves that the names of the first belong together.
 */
static __always_inline int walk(struct ctx *c, struct dentry *d, struct mount *m)
{
	struct scratch *s = c->s;
	__u64 first;

	s->walk.off = PATH_END;
	s->walk.torn = 0;
	s->walk.foreign = 0;
	s->walk.internal = 0;
	s->walk.too_long = 0;
	check_mount(s, m);
	walk_from(c, d, m, 1);
	if (s->walk.too_long || s->walk.stray)
		return !s->walk.torn;
	first = s->walk.mix;
	walk_from(c, d, m, 0);
	return s->walk.top && !s->walk.torn && first == s->walk.mix;
}

static __always_inline enum origin origin_of(struct ctx *c, struct dentry *d, struct mount *m)
{
	struct scratch *s = c->s;

	if (s->walk.internal)
		return ORIGIN_MEMFD;
	if (s->walk.stray)
		return ORIGIN_UNKNOWN;
	/* Without unique mount ids any change of the namespace may have been a new mount; only the root mount is sure to be old. */
	if (!bpf_core_field_exists(struct mount___unique, mnt_id_unique)) {
		struct mnt_namespace *ns = (void *)s->walk.ns;
		if (BPF_CORE_READ(ns, event) != s->anchor.event && (__u64)m != s->anchor.root)
			s->walk.foreign = 1;
	}
	if (s->walk.foreign)
		return ORIGIN_FOREIGN;
	if (BPF_CORE_READ(d, d_inode, i_nlink) == 0)
		return ORIGIN_DELETED;
	if (!BPF_CORE_READ(d, d_hash.pprev) && BPF_CORE_READ(d, d_parent) != d) /* d_unlinked of include/linux/dcache.h */
		return ORIGIN_DELETED;
	if (s->walk.too_long)
		return ORIGIN_TOO_LONG;
	return ORIGIN_PATH;
}

static __noinline int resolve(struct ctx *c, struct file *file, struct subject *out)
{
	struct scratch *s = c->s;
	struct dentry *d = BPF_CORE_READ(file, f_path.dentry);
	struct mount *m = real_mount(BPF_CORE_READ(file, f_path.mnt));
	int stable = 0;

	for (int i = 0; i < MAX_TRIES && !stable; i++)
		stable = walk(c, d, m);
	out->off = s->walk.off & (PATH_END * 2 - 1);
	out->len = PATH_END - s->walk.off;
	if (!stable) {
		count_lost(LOST_WALK);
		return ORIGIN_UNKNOWN;
	}
	return origin_of(c, d, m);
}
