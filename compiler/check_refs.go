// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"strings"
)

// maxGuesses bounds for how many names of one entry a similar one is looked for: each costs a walk over all names.
const maxGuesses = 20

// guess says what an unknown name may stand for, for the end of a message.
func (r *report) guess(name string, known []string, kind string) string {
	if r.guessed++; r.guessed <= maxGuesses {
		if near := nearest(name, known); near != "" {
			return fmt.Sprintf("; did you mean %q?", near)
		}
	}
	if len(known) > 0 && len(known) <= 5 {
		return "; want " + quotedList(known, "or")
	}
	return fmt.Sprintf("; want the name of a %s that the policy states", kind)
}

// refers checks a reference by bare name.
func (r *report) refers(where []string, what, name string, known nameSet, kind string) {
	if known[name] {
		return
	}
	r.fail(where, "%s %.100q is not stated as a %s%s", what, name, kind, r.guess(name, known.sorted(), kind))
}

// workload resolves a reference to a workload, "payments" or "shop/payments". It returns nil when that is an error.
func (r *report) workload(where []string, what, ref string) *head {
	namespace, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		namespace, name = "", ref
	}
	h := r.sc.workloads[name]
	switch {
	case h == nil:
		near := r.guess(name, r.sc.workloadNames(), "workload")
		r.fail(where, "%s %.150q is not stated as a workload%s", what, ref, near)
	case qualified && h.match.Namespace == "":
		r.fail(where, "%s %.150q names a namespace, but match.namespace of workload %s is not one literal; want %q", what, ref, name, name)
	case qualified && h.match.Namespace != namespace:
		r.fail(where, "%s %.150q is not where workload %s stands; want %q", what, ref, name, h.match.Namespace+"/"+name)
	default:
		return h
	}
	return nil
}
