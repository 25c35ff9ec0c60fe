/* SPDX-FileCopyrightText: The writ authors */
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* What the programs keep: their maps, their bounds, and the scratch memory of one exec. */
#pragma once

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

/* The slots that are not empty, for the agent alone: before 6.7 a look into the map of maps costs a grace period for each slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} slots SEC(".maps");

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
	__u64 root;  /* of that mount */
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
	__u8 anchored;

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

static __always_inline void count_losses(__u32 cause, __u64 losses)
{
	__u64 *n = bpf_map_lookup_elem(&lost, &cause);
	if (n)
		__sync_fetch_and_add(n, losses);
}

static __always_inline void count_lost(__u32 cause)
{
	count_losses(cause, 1);
}

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
