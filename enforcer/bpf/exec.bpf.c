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
#include "state.h"
#include "path.h"
#include "anchor.h"
#include "lookup.h"
#include "report.h"

#define EPERM 1
#define SIGKILL 9

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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

/* The caller's path, if it has one that a rule could allow. */
static __always_inline void resolve_caller(struct ctx *c, struct file *caller)
{
	struct scratch *s = c->s;

	c->path = s->parent_path;
	if (caller && resolve(c, caller, &s->parent) != ORIGIN_PATH)
		s->parent.len = 0;
	s->parent.hash = hash_path(s, s->parent_path, &s->parent);
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
	s->parent.hash = h->seed; /* the hash of no path */
	s->anchored = !anchor_task(s, task, b.cgroup);
	if (s->anchored) {
		c.path = s->object_path;
		s->origin = resolve(&c, file, &s->object);
		if (h->parents)
			resolve_caller(&c, caller);
	}
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
	if (!h->parents && s->anchored)
		resolve_caller(&c, caller);
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
