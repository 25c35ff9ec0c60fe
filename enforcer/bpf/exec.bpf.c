// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause

//go:build ignore

/*
 * The exec plane. Each program here finds the image that the calling task is bound to, the path of what it wants to run and the path
 * of what it runs, looks them up, and denies or reports. What may run is decided in the image alone, which image.go compiles.
 *
 * State that a bpf_loop changes lives in map memory (struct scratch), not on the stack: the verifier then sees one state for all
 * iterations. Pointers in it are kept as integers and only ever read with bpf_probe_read_kernel.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "exec.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EPERM 1
#define SIGKILL 9

#define PATH_END 4096 /* paths are built backwards and end here; PATH_MAX counts the NUL, so at most 4,095 bytes */
#define PATH_MASK (PATH_END - 1)
#define PATH_SPACE (PATH_END + 256) /* a name at the last offset, and the last word of a comparison, stay inside */
#define MAX_NAME 255		    /* NAME_MAX of include/uapi/linux/limits.h */
#define MAX_GLOB 512		    /* schema.MaxGlob */
#define MAX_STEPS (1 << 23)	    /* BPF_MAX_LOOPS; a glob needs at most 3 * 513 * 4096, which a test counts */
#define MAX_WALK 8192		    /* at most 2,048 names of a path, and mounts stacked on each other */
#define MAX_TRIES 8
#define MAX_LIST (1 << 20)
#define MAX_LEVEL 64 /* MaxLevel */
#define SLOTS 4096   /* MaxSlots */
#define MAX_RB_DEPTH 64

struct cell {
	__u64 word[CELL_SIZE / 8];
};

struct image_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct cell));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__array(values, struct image_map);
} programs SEC(".maps");

/* cgroup id -> slot */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct anchor);
} anchors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct fold_key);
	__type(value, struct fold);
} folds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_CAUSES);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

struct walk {
	__u64 dentry;
	__u64 mount;
	__u64 ns;    /* the mount namespace that every mount must be in */
	__u64 mix;   /* of all that was passed */
	__u32 off;   /* where the path begins so far */
	__u8 copy;   /* 1: build the path; 0: only check again */
	__u8 top;    /* the top of the mount tree is reached */
	__u8 torn;   /* something changed under the walk */
	__u8 stray;  /* ends at a root that is not a mount's */
	__u8 foreign;
	__u8 internal;
	__u8 too_long;
};

struct glob {
	__u32 p, s;
	__u32 star, star_s;
	__u32 stars, stars_s;
	__u32 plen, slen, off;
	__u8 has_star, has_stars, seeking, done, ok;
};

struct subject {
	__u32 off, len;
	__u64 hash;
};

/* Everything one exec needs while it is judged. */
struct scratch {
	__u32 busy;
	__u32 fence;
	struct anchor anchor;
	struct walk walk;
	struct subject object, parent;

	__u64 seed, mult, depths;
	__u32 mask, depth;

	/* the lookup that is under way */
	__u64 hash, mixed;
	__u32 len;
	__u8 kind;
	__u64 hit_allow, hit_near;

	/* the list that is walked */
	__u32 cursor, parent_cursor;
	__u8 parent_ok;

	/* the comparison that is under way */
	__u32 equal_cell, equal_len, equal_off;
	__u8 equal_not;

	__u64 allow, near;
	__u8 origin;

	struct glob glob;
	struct event event;
	char pattern[MAX_GLOB + CELL_SIZE];
	char object_path[PATH_SPACE];
	char parent_path[PATH_SPACE];
	char slack[PATH_END]; /* the verifier does not see that a path's offset and length add up to PATH_END */
};

/*
 * LSM programs can be preempted, and the kernel does not stop another task from entering the same program on the same CPU. So a
 * per-CPU buffer could be shared by two execs. Each exec claims one of a few per CPU by compare-and-swap. It stays on this CPU, and
 * always runs to its end, so it always gives it back.
 */
#define SCRATCHES 8

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCHES);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* What bpf_loop callbacks share. */
struct ctx {
	struct scratch *s;
	void *image;
	char *path; /* of the walk, the comparison or the glob under way */
};

static __always_inline void count_lost(__u32 cause)
{
	__u64 *n = bpf_map_lookup_elem(&lost, &cause);
	if (n)
		__sync_fetch_and_add(n, 1);
}

/* ---- scratch ---- */

static __always_inline struct scratch *claim(void)
{
	for (__u32 i = 0; i < SCRATCHES; i++) {
		__u32 key = i;
		struct scratch *s = bpf_map_lookup_elem(&scratches, &key);
		if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
			return s;
	}
	return 0;
}

static __always_inline void release(struct scratch *s)
{
	__sync_val_compare_and_swap(&s->busy, 1, 0);
}

/* ---- path ---- */

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
	__u32 len = BPF_CORE_READ(d, d_name.len);
	const unsigned char *name = BPF_CORE_READ(d, d_name.name);
	__u32 off = s->walk.off;

	if (len > MAX_NAME || off < len + 2) {
		s->walk.too_long = 1;
		return 1;
	}
	off -= len + 1;
	s->walk.off = off;
	off &= PATH_MASK;
	c->path[off] = '/';
	len &= MAX_NAME;
	if (bpf_probe_read_kernel(&c->path[off + 1], len, name))
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
	if (d == BPF_CORE_READ(m, mnt.mnt_root)) {
		up = BPF_CORE_READ(m, mnt_parent);
		mix(s, (__u64)m);
		if (up == m) {
			s->walk.top = 1;
			return 1;
		}
		s->walk.dentry = (__u64)BPF_CORE_READ(m, mnt_mountpoint);
		s->walk.mount = (__u64)up;
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

static __always_inline enum origin resolve(struct ctx *c, struct file *file, struct subject *out)
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

/* ---- anchor ---- */

struct rightmost {
	struct rb_node *node;
};

static long rightmost_step(__u64 i, struct rightmost *r)
{
	struct rb_node *node = r->node, *right = BPF_CORE_READ(node, rb_right);

	if (!right)
		return 1;
	r->node = right;
	return 0;
}

static __noinline struct rb_node *last_node(struct mnt_namespace *ns)
{
	return BPF_CORE_READ((struct mnt_namespace___last *)ns, mnt_last_node);
}

static __noinline struct rb_node *rightmost_node(struct mnt_namespace *ns)
{
	struct rightmost r = {.node = BPF_CORE_READ((struct mnt_namespace___tree *)ns, mounts.rb_node)};

	if (r.node)
		bpf_loop(MAX_RB_DEPTH, rightmost_step, &r, 0);
	return r.node;
}

static __noinline __u64 node_id(struct rb_node *node)
{
	struct mount___unique *m = (void *)node - bpf_core_field_offset(struct mount___unique, mnt_node);

	return BPF_CORE_READ(m, mnt_id_unique);
}

/* The largest mnt_id_unique in a namespace. Its mounts stand in a red-black tree that is sorted by it (fs/namespace.c). */
static __always_inline __u64 newest_mount(struct mnt_namespace *ns)
{
	struct rb_node *node;

	if (!bpf_core_field_exists(struct mount___unique, mnt_id_unique))
		return 0;
	if (bpf_core_field_exists(struct mnt_namespace___last, mnt_last_node))
		node = last_node(ns);
	else
		node = rightmost_node(ns);
	return node ? node_id(node) : 0;
}

static __noinline __u64 namespace_seq(struct mnt_namespace *ns)
{
	return BPF_CORE_READ((struct mnt_namespace___seq *)ns, seq);
}

static __noinline __u64 namespace_ns_id(struct mnt_namespace *ns)
{
	return BPF_CORE_READ((struct mnt_namespace___id *)ns, ns.ns_id);
}

/* A number that the kernel gives to one namespace only. */
static __always_inline __u64 namespace_id(struct mnt_namespace *ns)
{
	if (bpf_core_field_exists(struct mnt_namespace___seq, seq))
		return namespace_seq(ns);
	if (bpf_core_field_exists(struct mnt_namespace___id, ns.ns_id))
		return namespace_ns_id(ns);
	return BPF_CORE_READ(ns, ns.inum);
}

/* Copies the task's anchor to the scratch, and takes one if the task has none from this bound cgroup. */
static __always_inline int anchor_task(struct scratch *s, struct task_struct *task, __u64 bound)
{
	struct mnt_namespace *ns = BPF_CORE_READ(task, nsproxy, mnt_ns);
	struct anchor *a = bpf_task_storage_get(&anchors, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	s->walk.ns = (__u64)ns;
	if (!a) {
		count_lost(LOST_STORAGE);
		return -1;
	}
	if (a->bound != bound) {
		a->ns = namespace_id(ns);
		a->newest = newest_mount(ns);
		a->event = BPF_CORE_READ(ns, event);
		a->root = (__u64)real_mount(BPF_CORE_READ(task, fs, root.mnt));
		a->bound = bound;
	}
	s->anchor = *a;
	if (s->anchor.ns != namespace_id(ns))
		s->walk.ns = 1; /* no mount is in it: everything is foreign */
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(writ_fork, struct task_struct *parent, struct task_struct *child)
{
	struct anchor *from = bpf_task_storage_get(&anchors, parent, 0, 0), *to;

	if (!from)
		return 0;
	to = bpf_task_storage_get(&anchors, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (to)
		*to = *from;
	else
		count_lost(LOST_FORK);
	return 0;
}

/* ---- lookup ---- */

static __always_inline __u64 hash_byte(__u64 h, __u8 byte, __u64 mult)
{
	h = (h ^ byte) * mult;
	return h ^ h >> 32;
}

static __always_inline __u64 finish(__u64 h, __u8 kind)
{
	h = (h ^ kind) * 0xbf58476d1ce4e5b9ULL;
	h ^= h >> 29;
	h *= 0x94d049bb133111ebULL;
	return h ^ h >> 32;
}

static __always_inline void *cell(void *image, __u32 index)
{
	return bpf_map_lookup_elem(image, &index);
}

static long equal_step(__u64 i, struct ctx *c)
{
	struct scratch *s = c->s;
	struct cell *cl = cell(c->image, s->equal_cell + (__u32)i);

	if (!cl) {
		s->equal_not = 1;
		return 1;
	}
	for (int j = 0; j < CELL_SIZE / 8; j++) {
		int pos = (int)i * CELL_SIZE + j * 8 - INLINE;
		int rest = (int)s->equal_len - pos;
		__u64 diff;
		if (pos < 0)
			continue;
		if (rest <= 0)
			return 1;
		diff = cl->word[j] ^ *(__u64 *)&c->path[(s->equal_off + pos) & PATH_MASK];
		if (rest < 8)
			diff <<= 8 * (8 - rest); /* both are little endian: the bytes after the end are the upper ones */
		if (diff) {
			s->equal_not = 1;
			return 1;
		}
	}
	return 0;
}

/* Whether the text of the entry in a cell is the first len bytes of the path at off. */
static __always_inline int equal(struct ctx *c, __u32 index, __u32 len, __u32 off)
{
	c->s->equal_cell = index;
	c->s->equal_len = len;
	c->s->equal_off = off;
	c->s->equal_not = 0;
	bpf_loop((len + INLINE + CELL_SIZE - 1) / CELL_SIZE, equal_step, c, 0);
	return !c->s->equal_not;
}

static __always_inline char glob_at(struct ctx *c, __u32 i)
{
	return c->path[(c->s->glob.off + i) & PATH_MASK];
}

/* The steps of matcher in schema/pattern.go; a scan for the next segment is one step for each byte here. */
static long glob_step(__u64 i, struct ctx *c)
{
	struct scratch *s = c->s;
	struct glob *g = &s->glob;
	__u32 p = g->p & (MAX_GLOB - 1);
	char at;

	if (g->seeking) {
		g->stars_s++;
		if (g->stars_s >= g->slen) {
			g->done = 1;
			return 1;
		}
		if (glob_at(c, g->stars_s) == '/') {
			g->seeking = 0;
			g->has_star = 0;
			g->p = g->stars;
			g->s = g->stars_s;
		}
		return 0;
	}
	if (g->p >= g->plen) {
		if (g->s >= g->slen) {
			g->ok = 1;
			g->done = 1;
			return 1;
		}
		goto back;
	}
	at = g->s < g->slen ? glob_at(c, g->s) : 0;
	if (s->pattern[p] == '/' && g->p + 3 <= g->plen && s->pattern[p + 1] == '*' && s->pattern[p + 2] == '*' &&
	    (g->p + 3 == g->plen || s->pattern[p + 3] == '/') && (g->s >= g->slen || at == '/')) {
		g->p += 3;
		if (g->p >= g->plen) {
			g->ok = g->s < g->slen;
			g->done = 1;
			return 1;
		}
		g->stars = g->p;
		g->stars_s = g->s;
		g->has_stars = 1;
		g->has_star = 0;
		return 0;
	}
	if (s->pattern[p] == '*') {
		g->p++;
		g->star = g->p;
		g->star_s = g->s;
		g->has_star = 1;
		return 0;
	}
	if (g->s < g->slen && s->pattern[p] == at) {
		if (at == '/')
			g->has_star = 0;
		g->p++;
		g->s++;
		return 0;
	}
back:
	if (g->has_star && g->star_s < g->slen && glob_at(c, g->star_s) != '/') {
		g->star_s++;
		g->p = g->star;
		g->s = g->star_s;
		return 0;
	}
	if (g->has_stars) {
		g->seeking = 1;
		return 0;
	}
	g->done = 1;
	return 1;
}

static long pattern_step(__u64 i, struct ctx *c)
{
	struct scratch *s = c->s;
	__u64 *w = cell(c->image, s->equal_cell + (__u32)i);
	__u32 pos = (__u32)i * CELL_SIZE - INLINE; /* the first cell has INLINE bytes only */

	if (!w)
		return 1;
	if (i == 0) {
		__builtin_memcpy(s->pattern, w + 4, INLINE);
		return 0;
	}
	if (pos > MAX_GLOB)
		return 1;
	__builtin_memcpy(&s->pattern[pos], w, CELL_SIZE);
	return 0;
}

static __always_inline int glob_matches(struct ctx *c, __u32 index, __u32 plen, struct subject *sub)
{
	struct scratch *s = c->s;

	if (plen > MAX_GLOB)
		return 0;
	s->equal_cell = index;
	bpf_loop((plen + INLINE + CELL_SIZE - 1) / CELL_SIZE, pattern_step, c, 0);
	__builtin_memset(&s->glob, 0, sizeof(s->glob));
	s->glob.plen = plen;
	s->glob.slen = sub->len;
	s->glob.off = sub->off;
	bpf_loop(MAX_STEPS, glob_step, c, 0);
	if (!s->glob.done)
		count_lost(LOST_BUDGET);
	return s->glob.ok;
}

static long parent_step(__u64 i, struct ctx *outer)
{
	struct scratch *s = outer->s;
	struct ctx c = {.s = s, .image = outer->image, .path = s->parent_path};
	__u32 index = s->parent_cursor;
	struct entry *e = cell(c.image, index);
	int ok = 0;

	if (!e)
		return 1;
	switch (e->kind) {
	case KIND_EXACT:
		ok = e->len == s->parent.len && e->hash == s->parent.hash && equal(&c, index, e->len, s->parent.off);
		break;
	case KIND_DIR:
		ok = e->len < s->parent.len && s->parent_path[(s->parent.off + e->len) & PATH_MASK] == '/' &&
		     equal(&c, index, e->len, s->parent.off);
		break;
	case KIND_GLOB:
		ok = glob_matches(&c, index, e->len, &s->parent);
		break;
	}
	if (ok) {
		s->parent_ok = 1;
		return 1;
	}
	s->parent_cursor = e->next;
	return s->parent_cursor == 0;
}

/* A rule names the object: it allows if the caller may. Returns 1 if it does. */
static __always_inline int consider(struct ctx *c, struct entry *e)
{
	struct scratch *s = c->s;

	s->parent_ok = e->parents == 0;
	if (e->parents && s->parent.len) {
		s->parent_cursor = e->parents;
		bpf_loop(MAX_LIST, parent_step, c, 0);
	}
	if (s->parent_ok) {
		s->hit_allow = e->rule;
		return 1;
	}
	if (!s->hit_near)
		s->hit_near = e->rule;
	return 0;
}

static long probe_step(__u64 i, struct ctx *c)
{
	struct scratch *s = c->s;
	__u32 b = ((__u32)s->mixed + (__u32)i) & s->mask, index;
	struct cell *cl = cell(c->image, 1 + b / BUCKETS_PER_CELL);
	struct entry *e;
	__u64 bucket;

	if (!cl)
		return 1;
	bucket = cl->word[b % BUCKETS_PER_CELL]; /* one load: tag is the lower half, entry the upper */
	index = bucket >> 32;
	if (!index)
		return 1;
	if ((__u32)bucket != (__u32)(s->mixed >> 32))
		return 0;
	e = cell(c->image, index);
	if (!e)
		return 1;
	if (e->hash != s->hash || e->kind != s->kind || e->len != s->len || !equal(c, index, e->len, s->object.off))
		return 0;
	return consider(c, e);
}

/* Looks for rules of a kind whose key is the first len bytes of the object. */
static __always_inline void find(struct ctx *c, __u32 probes, __u8 kind, __u32 len)
{
	struct scratch *s = c->s;

	s->kind = kind;
	s->len = len;
	s->mixed = finish(s->hash, kind);
	s->hit_allow = 0;
	s->hit_near = 0;
	bpf_loop(probes, probe_step, c, 0);
}

struct pass {
	struct ctx c;
	__u32 probes;
};

/* One byte of the object: at a slash, what stands before it may be the directory of a rule. A later one is longer and overrules. */
static long object_step(__u64 i, struct pass *p)
{
	struct scratch *s = p->c.s;
	__u8 byte = s->object_path[(s->object.off + (__u32)i) & PATH_MASK];

	if (byte == '/') {
		if (s->depths >> (s->depth < 63 ? s->depth : 63) & 1) {
			find(&p->c, p->probes, KIND_DIR, i);
			if (s->hit_allow)
				s->allow = s->hit_allow;
			if (s->hit_near)
				s->near = s->hit_near;
		}
		s->depth++;
	}
	s->hash = hash_byte(s->hash, byte, s->mult);
	return 0;
}

static long hash_step(__u64 i, struct ctx *c)
{
	struct scratch *s = c->s;
	s->hash = hash_byte(s->hash, c->path[(s->equal_off + (__u32)i) & PATH_MASK], s->mult);
	return 0;
}

static __always_inline __u64 hash_path(struct scratch *s, char *path, struct subject *sub)
{
	struct ctx c = {.s = s, .path = path};

	s->hash = s->seed;
	s->equal_off = sub->off;
	bpf_loop(sub->len, hash_step, &c, 0);
	return s->hash;
}

static long list_step(__u64 i, struct ctx *c)
{
	struct scratch *s = c->s;
	__u32 index = s->cursor;
	struct entry *e = cell(c->image, index);

	if (!e)
		return 1;
	s->cursor = e->next;
	if (glob_matches(c, index, e->len, &s->object) && consider(c, e))
		return 1;
	return s->cursor == 0;
}

/* Looks the object up in the order of schema.CompareSpecific. Leaves s->allow, or s->near: the rule that names the object for another caller. */
static __always_inline void look_up(struct scratch *s, void *image, struct header *h)
{
	struct pass p = {.c = {.s = s, .image = image, .path = s->object_path}, .probes = h->probes};
	__u64 dir_allow, dir_near;

	s->mask = h->mask;
	s->depths = h->depths;
	s->depth = 0;
	s->allow = 0;
	s->near = 0;
	s->hash = s->seed;
	bpf_loop(s->object.len, object_step, &p, 0);
	s->object.hash = s->hash;
	dir_allow = s->allow;
	dir_near = s->near;

	find(&p.c, h->probes, KIND_EXACT, s->object.len);
	s->allow = s->hit_allow ? s->hit_allow : dir_allow;
	s->near = s->hit_near ? s->hit_near : dir_near;
	if (s->allow || !h->globs)
		return;
	s->hit_allow = 0;
	s->hit_near = 0;
	s->cursor = h->globs;
	bpf_loop(MAX_LIST, list_step, &p.c, 0);
	s->allow = s->hit_allow;
	if (!s->near)
		s->near = s->hit_near;
}

/* ---- report ---- */

static __always_inline void send(struct scratch *s)
{
	struct event *e = &s->event;
	__u32 object_len = s->object.len & PATH_MASK, parent_len = s->parent.len & PATH_MASK;
	struct bpf_dynptr d;

	if (bpf_ringbuf_reserve_dynptr(&events, sizeof(*e) + object_len + parent_len, 0, &d)) {
		bpf_ringbuf_discard_dynptr(&d, 0);
		count_lost(LOST_RING);
		if (e->folded)
			bpf_map_delete_elem(&folds, &e->key); /* so that the next one tries again */
		return;
	}
	bpf_dynptr_write(&d, 0, e, sizeof(*e), 0);
	if (object_len)
		bpf_dynptr_write(&d, sizeof(*e), &s->object_path[s->object.off & PATH_MASK], object_len, 0);
	if (parent_len)
		bpf_dynptr_write(&d, sizeof(*e) + object_len, &s->parent_path[s->parent.off & PATH_MASK], parent_len, 0);
	bpf_ringbuf_submit_dynptr(&d, 0);
}

/* Sends the event, or only counts it if the same was sent and the agent has not yet taken the count. */
static __always_inline void report(struct scratch *s)
{
	struct event *e = &s->event;
	struct fold *f = bpf_map_lookup_elem(&folds, &e->key), fresh = {};

	if (f) {
		__sync_fetch_and_add(&f->count, 1);
		f->last = e->time;
		return;
	}
	fresh.count = 1;
	fresh.first = fresh.last = e->time;
	e->folded = bpf_map_update_elem(&folds, &e->key, &fresh, BPF_NOEXIST) == 0;
	if (!e->folded) {
		f = bpf_map_lookup_elem(&folds, &e->key);
		if (f) { /* another CPU was faster */
			__sync_fetch_and_add(&f->count, 1);
			f->last = e->time;
			return;
		}
		count_lost(LOST_FOLD);
	}
	send(s);
}

/* ---- verdict ---- */

struct bound {
	__u64 cgroup;
	__u32 slot;
	bool found;
};

static long level_step(__u64 level, struct bound *b)
{
	__u64 id = bpf_get_current_ancestor_cgroup_id(level);
	__u32 *slot;

	if (!id)
		return 1;
	slot = bpf_map_lookup_elem(&cgroups, &id);
	if (slot) {
		b->cgroup = id;
		b->slot = *slot;
		b->found = 1;
	}
	return 0;
}

static __always_inline int blind(struct header *h)
{
	return h->mode == MODE_ENFORCE ? ACTION_DENY : 0;
}

/* Judges one file. Returns an enum action, or 0 if it may run. */
static __always_inline int judge(struct task_struct *task, struct file *file, struct file *caller)
{
	struct bound b = {};
	__u32 zero = 0;
	struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct header *h;
	struct scratch *s;
	struct ctx c = {};
	void *image;
	__u32 action;

	if (!set)
		return 0;
	bpf_loop((set->max_level < MAX_LEVEL ? set->max_level : MAX_LEVEL) + 1, level_step, &b, 0);
	if (!b.found)
		return 0;
	image = bpf_map_lookup_elem(&programs, &b.slot);
	if (!image)
		return 0;
	h = cell(image, 0);
	if (!h || h->mode == MODE_OPEN)
		return 0;
	s = claim();
	if (!s) {
		count_lost(LOST_SCRATCH);
		return blind(h);
	}
	c.s = s;
	s->seed = h->seed;
	s->mult = h->mult;
	s->object.len = 0;
	s->parent.len = 0;
	s->origin = ORIGIN_UNKNOWN;
	if (!anchor_task(s, task, b.cgroup)) {
		c.path = s->object_path;
		s->origin = resolve(&c, file, &s->object);
		c.path = s->parent_path;
		if (caller && resolve(&c, caller, &s->parent) != ORIGIN_PATH)
			s->parent.len = 0;
	}
	s->parent.hash = hash_path(s, s->parent_path, &s->parent);
	s->event.rule = h->closure;
	if (s->origin != ORIGIN_PATH) {
		s->event.key.reason = REASON_ORIGIN;
		s->object.hash = hash_path(s, s->object_path, &s->object);
	} else {
		look_up(s, image, h);
		if (s->allow) {
			release(s);
			return 0;
		}
		s->event.key.reason = s->near ? REASON_PARENT : REASON_NO_RULE;
		if (s->near)
			s->event.rule = s->near;
	}
	action = h->mode; /* enum mode and enum action count alike */
	s->event.key.program = h->program;
	s->event.key.bound = b.cgroup;
	s->event.key.object = s->object.hash;
	s->event.key.parent = s->parent.hash;
	s->event.key.slot = b.slot;
	s->event.key.action = action;
	s->event.key.origin = s->origin;
	s->event.time = bpf_ktime_get_boot_ns();
	s->event.cgroup = bpf_get_current_cgroup_id();
	s->event.pid = bpf_get_current_pid_tgid() >> 32;
	s->event.ppid = BPF_CORE_READ(task, real_parent, tgid);
	s->event.uid = bpf_get_current_uid_gid();
	s->event.object_len = s->object.len;
	s->event.parent_len = s->parent.len;
	report(s);
	release(s);
	return action;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(writ_exec_lsm, struct linux_binprm *bprm, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (ret)
		return ret;
	if (judge(task, BPF_CORE_READ(bprm, file), BPF_CORE_READ(task, mm, exe_file)) == ACTION_DENY) {
		barrier(); /* keeps the compiler from computing the result, which the verifier would not follow */
		return -EPERM;
	}
	return 0;
}

static __always_inline void stop(int action)
{
	if (action == ACTION_DENY && bpf_send_signal(SIGKILL))
		count_lost(LOST_SIGNAL);
}

/* Since 6.10: the exec can't fail without killing the task any more, and the task still has the caller's memory. */
SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(writ_exec_prepare, struct task_struct *task, struct linux_binprm *bprm)
{
	struct task_struct *current = bpf_get_current_task_btf();

	stop(judge(current, BPF_CORE_READ(bprm, file), BPF_CORE_READ(current, mm, exe_file)));
	return 0;
}

/* Before 6.10: the caller's program is gone. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(writ_exec_done, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct task_struct *current = bpf_get_current_task_btf();

	stop(judge(current, BPF_CORE_READ(bprm, file), 0));
	return 0;
}
