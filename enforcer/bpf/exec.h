/* SPDX-FileCopyrightText: The writ authors */
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* What exec.bpf.c and the Go side share. image.go and record.go hold the same layouts. */
#pragma once

/*
 * An image is an array of cells of 64 bytes:
 *
 *	cell 0        struct header
 *	cells 1..     buckets of an open-addressing hash table, eight in a cell
 *	the rest      entries; a pattern that does not fit into its entry goes on in the cells that follow it
 */
#define CELL_SIZE 64
#define BUCKETS_PER_CELL 8
#define INLINE 32 /* bytes of the pattern that stand in the entry itself */

#define IMAGE_MAGIC 0x31455257 /* "WRE1": changes with the layout */

enum mode { MODE_OPEN = 0, MODE_LEARN = 1, MODE_AUDIT = 2, MODE_ENFORCE = 3 };

enum kind { KIND_EXACT = 1, KIND_DIR = 2, KIND_GLOB = 3 };

struct header {
	__u32 magic;
	__u8 mode;     /* enum mode */
	__u8 parents;  /* 1: some rule has parents */
	__u8 pad[2];
	__u64 seed;    /* where every hash begins */
	__u64 mult;    /* odd */
	__u64 closure; /* rule ID that a denial names when no rule does */
	__u64 program;
	__u64 depths; /* bit n: a directory rule has a directory of n slashes; bit 63: 63 or more */
	__u32 mask;   /* number of buckets, a power of two, minus 1 */
	__u32 probes; /* the longest run of buckets to look at */
	__u32 globs;  /* cell of the first glob, in the order in which they are tried; 0: none */
	__u32 cells;
};

struct bucket {
	__u32 tag;   /* upper half of the mixed hash */
	__u32 entry; /* cell; 0: empty */
};

/* A rule, or one parent of a rule. */
struct entry {
	__u64 hash; /* of the pattern; of the directory alone for a directory rule */
	__u64 rule;
	__u32 parents; /* cell of the first parent; 0: any caller */
	__u32 next;    /* the next glob, or the next parent; 0: none */
	__u16 len;     /* of the pattern in bytes, as hashed */
	__u8 kind;     /* enum kind */
	__u8 pad[5];
	char text[INLINE];
};

enum action { ACTION_LEARN = 1, ACTION_AUDIT = 2, ACTION_DENY = 3 };

enum reason { REASON_NO_RULE = 1, REASON_PARENT = 2, REASON_ORIGIN = 3 };

enum origin {
	ORIGIN_PATH = 0,
	ORIGIN_MEMFD = 1,
	ORIGIN_DELETED = 2,
	ORIGIN_FOREIGN = 3,
	ORIGIN_TOO_LONG = 4,
	ORIGIN_UNKNOWN = 5,
};

/* What makes two events the same behaviour. */
struct fold_key {
	__u64 program;
	__u64 bound;
	__u64 object; /* hashes of the paths, with the image's seed */
	__u64 parent;
	__u32 slot;
	__u8 action;
	__u8 reason;
	__u8 origin;
	__u8 pad;
};

#define SEALED (1ULL << 63) /* in the count: the entry's event could not be sent, and what it counted is told as lost */

struct fold {
	__u64 count;
	__u64 first; /* nanoseconds of CLOCK_BOOTTIME */
	__u64 last;
};

/* A record of the ring buffer: this, then the object's path, then the parent's. */
struct event {
	struct fold_key key;
	__u64 time; /* nanoseconds of CLOCK_BOOTTIME */
	__u64 cgroup;
	__u64 rule;
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	__u16 object_len;
	__u16 parent_len;
	__u8 folded; /* 0: the fold table was full */
	__u8 pad[7];
};

enum lost {
	LOST_RING,
	LOST_FOLD,
	LOST_SCRATCH,
	LOST_STORAGE,
	LOST_FORK,
	LOST_WALK,
	LOST_SIGNAL,
	LOST_BUDGET,
	LOST_RACE,
	LOST_CAUSES,
};

struct settings {
	__u32 max_level; /* the deepest level at which a cgroup is bound */
	__u32 pad;
};

/* Where a task's life under policy began. */
struct anchor {
	__u64 bound;  /* the bound cgroup it was taken under */
	__u64 ns;     /* mount namespace: a number that the kernel does not use again */
	__u64 newest; /* the largest mnt_id_unique in it; 0 where the kernel has none */
	__u64 event;  /* its count of changes */
	__u64 root;   /* the root mount */
};

_Static_assert(sizeof(struct header) == CELL_SIZE, "image.go");
_Static_assert(sizeof(struct entry) == CELL_SIZE, "image.go");
_Static_assert(sizeof(struct bucket) * BUCKETS_PER_CELL == CELL_SIZE, "image.go");
_Static_assert(sizeof(struct fold_key) == 40, "record.go");
_Static_assert(sizeof(struct fold) == 24, "record.go");
_Static_assert(sizeof(struct event) == 88, "record.go");
