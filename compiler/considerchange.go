// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// change says which line to change so that the verdict becomes the wanted action. It is nil if the verdict is that already, or if no single
// line would do.
func (c *considering) change(want schema.Action) *Fix {
	got := c.verdict.Action
	switch {
	case got == want:
		return nil
	case want == schema.ActionAllow:
		return c.allow()
	case c.by == nil && len(c.sel.Workloads) > 0:
		w := c.sel.Workloads[0]
		return changeAt(w.Pos, "mention %s in workload %s: what is not mentioned is open", c.plane, quoted(w.Name))
	case c.by == nil:
		if near := c.first(OutcomeUnselected); near != nil {
			return changeAt(near.Stated.Pos, "workload %s nearly selects this container: %s", quoted(near.Stated.Name), near.Because)
		}
		return nil
	case got == schema.ActionAllow:
		return changeAt(c.by.Pos, "take out or narrow what allows it: %s", c.by.Headline())
	}
	return changeAt(c.by.Pos, "the mode here is %s", DescribeMode(c.by.Mode, c.by.Then, c.by.After))
}

// first returns the weightiest of the others with an outcome, or nil.
func (c *considering) first(o Outcome) *Consideration {
	i := slices.IndexFunc(c.others, func(x Consideration) bool { return x.Outcome == o })
	if i < 0 {
		return nil
	}
	return &c.others[i]
}

func changeAt(at []schema.Pos, format string, args ...any) *Fix {
	if len(at) == 0 {
		return nil
	}
	return &Fix{at[0], fmt.Sprintf(format, args...)}
}

// allow says which line to change so that the event is allowed.
func (c *considering) allow() *Fix {
	if c.by == nil {
		return nil
	}
	switch {
	case c.by.Kind == bundle.KindBound:
		return changeAt(c.by.Pos, "state a workload that selects this container")
	case c.by.Kind != "":
		return changeAt(c.by.Pos, "it is forbidden here")
	case c.verdict.Reason == "signer" || c.verdict.Reason == "gate":
		return changeAt(c.by.Pos, "let the image meet this condition, or change it")
	case c.plane == schema.PlanePod:
		return changeAt(c.by.Pos, "permit %s for %s here", strings.Join(quotedAll(c.event.Set[schema.PodField(c.by.Object)]), " and "), quoted(c.by.Object))
	case c.by.Verb != "":
		return changeAt(c.by.Pos, "widen this rule, or add one beside it")
	}
	if near := c.first(OutcomeNear); near != nil && near.near == 0 {
		return changeAt(near.Stated.Pos, "widen this rule: %s", near.Because)
	}
	if c.verdict.Reason == schema.ReasonOrigin || c.verdict.Reason == schema.ReasonReference || c.verdict.Reason == "peer-unknown" {
		return nil
	}
	return changeAt(c.by.Pos, "add a rule to %s of workload %s", c.plane, quoted(c.by.Workload))
}
