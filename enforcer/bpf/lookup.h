/* SPDX-FileCopyrightText: The writ authors */
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* Looking paths up in an image. oracle.go takes the same steps. */
#pragma once

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
