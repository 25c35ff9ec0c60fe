// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/enforcer/node/wire"
	"github.com/writ-sec/writ/schema"
)

// status tells what is in force. It runs in the owner.
func (a *agent) status() *wire.Status {
	g := a.current.Load()
	st := &wire.Status{Generation: g.manifest.Digest, Commit: g.manifest.Envelope.Commit, Backend: a.backend}
	if a.kernel == nil {
		return st
	}
	f := a.kernel.force
	cgroups := map[string][]string{}
	if f.forest != nil {
		cgroups = selectedBy(f)
		st.Warnings = append(st.Warnings, f.forest.warnings...)
	}
	for _, w := range g.workloads {
		paths := cgroups[w.Name]
		slices.Sort(paths)
		ws := wire.WorkloadStatus{Name: w.Name, Cgroups: paths}
		ws.Why = whyNowhere(&w.Workload, len(paths))
		st.Workloads = append(st.Workloads, ws)
	}
	st.Warnings = append(st.Warnings, f.failed...)
	for _, w := range []string{a.restored, a.unsaved} {
		if w != "" {
			st.Warnings = append(st.Warnings, w)
		}
	}
	if len(g.workloads) > 0 {
		st.Warnings = append(st.Warnings, weaknesses(a.backend)...)
	}
	st.Lost, _ = a.kernel.kernel.Lost() // an error is logged by the poll
	return st
}

// selectedBy returns the topmost cgroups that each workload selects. What is below them is selected too.
func selectedBy(f *force) map[string][]string {
	out := map[string][]string{}
	for _, d := range f.forest.selected() {
		if _, ok := f.have.bindings[d.id]; !ok {
			continue
		}
		for _, i := range d.set {
			if !slices.Contains(d.parent.set, i) && closesExec(f.picked[i:i+1]) {
				out[f.picked[i].Name] = append(out[f.picked[i].Name], d.path)
			}
		}
	}
	return out
}

// whyNowhere says why a workload is in force in no cgroup, or "".
func whyNowhere(w *schema.Workload, cgroups int) string {
	_, closes := w.Closure(schema.PlaneExec)
	m := w.Match
	switch {
	case cgroups > 0:
		return ""
	case !closes:
		return "it does not mention exec, and exec is all that a node puts in force"
	case m.Host:
		return "it matches processes that are in no container; this version of writ-node selects by the cgroup alone, and no container is known to it"
	}
	by := matchedBy(m)
	switch {
	case m.Cgroup == "":
		return "it matches by " + by + "; this host has no source of containers"
	case by != "":
		return "it matches by more than the cgroup, by " + by + "; this host has no source of containers, so it selects none"
	}
	return fmt.Sprintf("no cgroup here matches %q yet", m.Cgroup)
}

// matchedBy lists what a match says of a Pod, or "".
func matchedBy(m schema.Match) string {
	var by []string
	for _, f := range []struct {
		name string
		set  bool
	}{{"namespace", m.Namespace != ""}, {"labels", len(m.Labels)+len(m.Expressions) > 0}, {"the container's name", m.Container != ""}} {
		if f.set {
			by = append(by, f.name)
		}
	}
	if n := len(by); n > 1 {
		return strings.Join(by[:n-1], ", ") + " and " + by[n-1]
	}
	return strings.Join(by, "")
}

// weaknesses tells what the backend does not prevent, one sentence each.
func weaknesses(b wire.Backend) []string {
	var out []string
	if len(b.Features) == 0 {
		out = append(out, fmt.Sprintf("the backend %q was asked for although a stronger one works here; what it can't do is not listed", b.Name))
	}
	for _, f := range b.Features {
		if f.Claim == wire.ClaimPrevent {
			continue
		}
		w := fmt.Sprintf("%s: %s here", f.Name, f.Claim)
		if f.Why != "" {
			w += ", because " + f.Why
		}
		out = append(out, w)
	}
	return out
}
