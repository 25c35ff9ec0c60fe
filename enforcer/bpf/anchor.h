/* SPDX-FileCopyrightText: The writ authors */
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* Where a task's life under policy began: its mount namespace, and which mounts were there. */
#pragma once

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
