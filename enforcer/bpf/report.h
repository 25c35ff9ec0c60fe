/* SPDX-FileCopyrightText: The writ authors */
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* Telling the agent. */
#pragma once

static __always_inline void send(struct scratch *s)
{
	struct event *e = &s->event;
	__u32 object_len = s->object.len & PATH_MASK, parent_len = s->parent.len & PATH_MASK;
	struct bpf_dynptr d;

	if (bpf_ringbuf_reserve_dynptr(&events, sizeof(*e) + object_len + parent_len, 0, &d)) {
		bpf_ringbuf_discard_dynptr(&d, 0);
		struct fold *f = e->folded ? bpf_map_lookup_elem(&folds, &e->key) : 0;
		__u64 losses = f ? __sync_lock_test_and_set(&f->count, SEALED) : 1; /* with what other CPUs have counted meanwhile */
		count_losses(LOST_RING, losses & SEALED ? 1 : losses);
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

/*
 * Counts a repetition. The agent may take the entry between the look-up and the addition, which then goes nowhere. So the entry is looked
 * up again, and one that is gone counts as a loss. It may have been taken just after the addition: then one too many is told. An entry
 * that another CPU is about to delete takes no more counts.
 */
static __always_inline void repeat(struct event *e, struct fold *f)
{
	__u64 before = __sync_fetch_and_add(&f->count, 1);
	f->last = e->time;
	if ((before & SEALED) || bpf_map_lookup_elem(&folds, &e->key) != f)
		count_lost(LOST_RACE);
}

/* Sends the event, or only counts it if the same was sent and the agent has not yet taken the count. */
static __always_inline void report(struct scratch *s)
{
	struct event *e = &s->event;
	struct fold *f = bpf_map_lookup_elem(&folds, &e->key), fresh = {};

	if (f) {
		repeat(e, f);
		return;
	}
	fresh.count = 1;
	fresh.first = fresh.last = e->time;
	e->folded = bpf_map_update_elem(&folds, &e->key, &fresh, BPF_NOEXIST) == 0;
	if (!e->folded) {
		f = bpf_map_lookup_elem(&folds, &e->key);
		if (f) { /* another CPU was faster */
			repeat(e, f);
			return;
		}
		count_lost(LOST_FOLD);
	}
	send(s);
}
