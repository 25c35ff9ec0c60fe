// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"maps"
	"slices"
	"time"

	"github.com/writ-sec/writ/schema"
)

// early is how long before its date a stricter mode comes into force. It is above what the clock of the owner (pollEvery) and the writing
// of 1,024 programs take together, so that a change is late in the strict direction alone.
const early = 5 * time.Second

// modeAt returns the mode of a closure that is put in force at an instant: the strictest of that moment and the next few. A stricter mode so
// begins a little before its date and a weaker one not before it.
func modeAt(c *schema.Closure, at time.Time) schema.Mode {
	return schema.Strictest(c.ModeAt(at), c.ModeAt(at.Add(early)))
}

// decided returns a workload whose dates are decided: its closures have the mode of the instant, and no other.
func decided(w *schema.Workload, at time.Time) *schema.Workload {
	if !slices.ContainsFunc(w.Closures, func(c schema.Closure) bool { return c.Then != "" }) {
		return w
	}
	d := *w
	d.Closures = slices.Clone(w.Closures)
	for i := range d.Closures {
		c := &d.Closures[i]
		c.Mode, c.Then, c.After = modeAt(c, at), "", ""
	}
	return &d
}

// datedModes returns the modes of exec at an instant of the workloads whose mode has a date, by name.
func datedModes(ws []*loaded, at time.Time) map[string]schema.Mode {
	modes := map[string]schema.Mode{}
	for _, w := range ws {
		if c, ok := w.Closure(schema.PlaneExec); ok && c.Then != "" {
			modes[w.Name] = modeAt(&c, at)
		}
	}
	return modes
}

// due returns the names of the workloads whose mode in force is no longer that of now, sorted.
func (f *force) due() []string {
	var names []string
	for name, mode := range datedModes(f.picked, f.now()) {
		if f.modes[name] != mode {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// followDates puts in force what a date has changed. A date that passes while no agent runs is decided when one starts.
func (a *agent) followDates() {
	f := a.kernel.force
	names := f.due()
	if len(names) == 0 {
		return
	}
	err := f.refresh()
	a.trouble(err)
	a.note()
	if err == nil {
		modes := maps.Clone(f.modes)
		maps.DeleteFunc(modes, func(name string, _ schema.Mode) bool { return !slices.Contains(names, name) })
		a.log.Info("planned modes are in force", "modes", modes)
	}
}
