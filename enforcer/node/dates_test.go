// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"slices"
	"testing"
	"time"

	"github.com/writ-sec/writ/schema"
)

// midnight is when the day of planned ends.
var midnight = time.Date(2027, 1, 16, 0, 0, 0, 0, time.UTC)

func planned(name string, now, then schema.Mode) schema.Workload {
	w := testWorkload(name, "/"+name, now)
	w.Closures[0].Then, w.Closures[0].After = then, "2027-01-15"
	return w
}

func TestModeAt(t *testing.T) {
	stricter := planned("a", schema.ModeAudit, schema.ModeEnforce).Closures[0]
	weaker := planned("a", schema.ModeEnforce, schema.ModeLearn).Closures[0]
	broken := stricter
	broken.After = "soon"
	for _, c := range []struct {
		name string
		c    schema.Closure
		at   time.Time
		want schema.Mode
	}{
		{"well before", stricter, midnight.Add(-early - time.Nanosecond), schema.ModeAudit},
		{"a stricter mode comes early", stricter, midnight.Add(-early), schema.ModeEnforce},
		{"and stays", stricter, midnight.Add(time.Hour), schema.ModeEnforce},
		{"a weaker mode does not", weaker, midnight.Add(-time.Nanosecond), schema.ModeEnforce},
		{"it comes at its date", weaker, midnight, schema.ModeLearn},
		{"an unknown date is the stricter mode", broken, midnight.Add(-time.Hour), schema.ModeEnforce},
		{"no date", schema.Closure{Mode: schema.ModeLearn}, midnight, schema.ModeLearn},
	} {
		if got := modeAt(&c.c, c.at); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
		w := schema.Workload{Closures: []schema.Closure{c.c}}
		d := decided(&w, c.at)
		if got := d.Closures[0]; got.Mode != c.want || got.Then != "" || got.After != "" {
			t.Errorf("%s: decided as %+v; want %s alone", c.name, got, c.want)
		}
		if w.Closures[0].Mode != c.c.Mode || w.Closures[0].Then != c.c.Then {
			t.Errorf("%s: deciding changes the generation", c.name)
		}
	}
}

// TestDue walks a clock over a date, and back.
func TestDue(t *testing.T) {
	g := mustGeneration(t, testBundle(planned("a", schema.ModeAudit, schema.ModeEnforce), planned("b", schema.ModeEnforce, schema.ModeAudit),
		testWorkload("c", "/c", schema.ModeAudit)))
	at := midnight.Add(-time.Hour)
	f := &force{picked: g.workloads, now: func() time.Time { return at }}
	for _, step := range []struct {
		at  time.Time
		due []string
	}{
		{at, []string{"a", "b"}}, // nothing is in force yet
		{at.Add(time.Minute), nil},
		{midnight.Add(-early), []string{"a"}},
		{midnight.Add(-time.Second), nil},
		{midnight, []string{"b"}},
		{midnight.Add(time.Hour), nil},
		{midnight.Add(-time.Hour), []string{"a", "b"}}, // the clock is set back
	} {
		at = step.at
		if got := f.due(); !slices.Equal(got, step.due) {
			t.Errorf("at %v %q are due; want %q", at, got, step.due)
		}
		f.modes = datedModes(f.picked, at)
	}
}

// TestProgramFollowsTheDate holds that another mode is another program, which is what the kernel gets, and that nothing else is.
func TestProgramFollowsTheDate(t *testing.T) {
	g := mustGeneration(t, testBundle(planned("a", schema.ModeAudit, schema.ModeEnforce), testWorkload("c", "/c", schema.ModeAudit)))
	program := func(set []*loaded, at time.Time) (string, uint64) {
		key, _ := keyOf(set, at)
		image, err := compile(set, at)
		if err != nil {
			t.Fatal(err)
		}
		return key, image.Program()
	}
	day := midnight.Add(-time.Hour)
	for _, c := range []struct {
		name    string
		set     []*loaded
		changes bool
	}{
		{"dated", g.workloads[:1], true}, {"not dated", g.workloads[1:], false}, {"both", g.workloads, true},
	} {
		key1, program1 := program(c.set, day)
		key2, program2 := program(c.set, day.Add(time.Minute))
		key3, program3 := program(c.set, midnight)
		if key1 != key2 || program1 != program2 || (key1 != key3) != c.changes || (program1 != program3) != c.changes {
			t.Errorf("%s: programs %x, %x, %x; keys equal: %v, %v", c.name, program1, program2, program3, key1 == key2, key1 == key3)
		}
	}
	image, err := compile(g.workloads[:1], day)
	if err != nil {
		t.Fatal(err)
	}
	if got := image.Judge("/x", "", schema.OriginPath).Action; got != schema.ActionAudit {
		t.Errorf("before the date: %s; want audit", got)
	}
	if image, err = compile(g.workloads[:1], midnight); err != nil {
		t.Fatal(err)
	}
	if got := image.Judge("/x", "", schema.OriginPath).Action; got != schema.ActionDeny {
		t.Errorf("after the date: %s; want deny", got)
	}
}

func TestSelectable(t *testing.T) {
	a := testWorkload("a", "/a", schema.ModeAudit)
	more := map[string]schema.Match{
		"namespace": {Cgroup: "/b", Namespace: "n"}, "labels": {Cgroup: "/b", Labels: map[string]string{"a": "b"}},
		"expressions": {Cgroup: "/b", Expressions: map[string]schema.Expression{"a": {In: schema.Names{"b"}}}},
		"container":   {Cgroup: "/b", Container: "c"}, "host": {Cgroup: "/b", Host: true}, "no cgroup": {Container: "c"},
	}
	for name, m := range more {
		b := testWorkload("b", "/b", schema.ModeAudit)
		b.Match = m
		got := selectable(mustGeneration(t, testBundle(a, b)).workloads)
		if len(got) != 1 || got[0].Name != "a" {
			t.Errorf("%s: a node selects %d workloads; want the one that matches by cgroup alone", name, len(got))
		}
	}
}
