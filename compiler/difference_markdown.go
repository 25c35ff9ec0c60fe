// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/writ-sec/writ/schema"
)

// MaxComment bounds [Difference.Markdown] in bytes: code forges refuse longer comments.
const MaxComment = 65_536

// Parts of a comment.
const (
	maxUnfolded      = 40  // widened changes that are shown unfolded
	maxFoldedDetails = 20  // details shown of one change
	maxCodeSpan      = 300 // bytes of one thing that an author wrote
)

// ChangeGroup is changes that differ in the names alone, as when one line above many folders changes each of their workloads.
type ChangeGroup struct {
	PolicyChange
	Names []string // sorted; PolicyChange has the first of them, and no Owner if they are several
}

// Groups puts changes together that stand at one line and say the same. The order stays.
func (d *Difference) Groups() []ChangeGroup {
	type key struct {
		effect                                     Effect
		risk                                       Risk
		kind, aspect, key, msg, before, after, why string
		plane                                      schema.Plane
		details, side                              string
		pos                                        schema.Pos
	}
	var groups []ChangeGroup
	index := map[key]int{}
	for _, c := range d.Changes {
		k := key{c.Effect, c.Risk, c.Kind, c.Aspect, c.Key, c.Msg, c.Before, c.After, c.Why, c.Plane, strings.Join(c.Details, "\x00") + c.By, c.Side, c.Pos}
		if i, ok := index[k]; ok && c.Pos.Line > 0 {
			if names := groups[i].Names; names[len(names)-1] != c.Name { // sorted
				groups[i].Names = append(names, c.Name)
				groups[i].Owner = ""
			}
			continue
		}
		index[k] = len(groups)
		groups = append(groups, ChangeGroup{c, []string{c.Name}})
	}
	return groups
}

// Summary says in one line how many changes there are of each effect.
func (d *Difference) Summary() string {
	if len(d.Changes) == 0 {
		return "No difference in meaning"
	}
	var words []string
	for _, e := range diffEffects {
		switch n := d.Count(e); {
		case n == 1:
			words = append(words, fmt.Sprintf("1 %s", e))
		case n > 1 && e == EffectNote:
			words = append(words, fmt.Sprintf("%d notes", n))
		case n > 1:
			words = append(words, fmt.Sprintf("%d %s", n, e))
		}
	}
	return strings.Join(words, ", ")
}

// Markdown says the difference as a comment on a pull request, of at most [MaxComment] bytes: what widens first, one line for a change, the
// rest folded. What does not fit is counted. Whatever comes from the policy, and the names of the two sides, stands in code spans, where neither
// Markdown nor HTML means anything.
func (d *Difference) Markdown(base, head string) string {
	c := &diffComment{}
	c.write("<!-- writ diff -->\n### Policy: " + codeSpan(base) + " → " + codeSpan(head) + "\n\n")
	c.write("**" + d.Summary() + "**\n")
	var by = map[Effect][]ChangeGroup{}
	for _, g := range d.Groups() {
		by[g.Effect] = append(by[g.Effect], g)
	}
	open := by[EffectWidened]
	rest := open[min(len(open), maxUnfolded):]
	c.items(open[:len(open)-len(rest)])
	c.folded(fmt.Sprintf("%d more that widen", len(rest)), rest)
	for _, e := range diffEffects[1:] {
		c.folded(fmt.Sprintf("%s (%d)", map[Effect]string{EffectNarrowed: "Narrowed", EffectChanged: "Changed", EffectNote: "Notes"}[e], len(by[e])), by[e])
	}
	if c.left > 0 {
		c.text.WriteString(fmt.Sprintf("\n_Not shown, because a comment has no more room: %d lines. `writ diff` shows all._\n", c.left))
	}
	return c.text.String()
}

// diffComment is a text that stays within its bound.
type diffComment struct {
	text strings.Builder
	left int // changes that did not fit
}

// commentRoom is room for closing what is open, and for saying what was left out.
const commentRoom = 256

// write adds text unless it does not fit.
func (c *diffComment) write(s string) bool {
	if c.text.Len()+len(s) > MaxComment-commentRoom {
		return false
	}
	c.text.WriteString(s)
	return true
}

func (c *diffComment) folded(summary string, groups []ChangeGroup) {
	if len(groups) == 0 {
		return
	}
	if !c.write("\n<details><summary>" + summary + "</summary>\n") {
		c.left += len(groups)
		return
	}
	c.items(groups)
	c.text.WriteString("\n</details>\n")
}

func (c *diffComment) items(groups []ChangeGroup) {
	if len(groups) > 0 {
		c.text.WriteString("\n")
	}
	for i := range groups {
		line := groupLine(&groups[i])
		if !c.write(line+foldedDetails(groups[i].Details)) && !c.write(line) {
			c.left++
		}
	}
}

// groupLine says a change in one line.
func groupLine(g *ChangeGroup) string {
	s := "- "
	if g.Effect == EffectWidened {
		s += "⚠️ **widened** (" + g.Risk.String() + " risk): "
	}
	s += g.Kind
	for i, name := range g.Names {
		if i == maxListed {
			s += countMore(len(g.Names) - i)
			break
		}
		if name != "" {
			s += " " + codeSpan(name)
		}
	}
	for _, word := range []string{string(g.Plane), g.Aspect} {
		if word != "" && word != "rule" {
			s += ", " + word
		}
	}
	if g.Key != "" {
		s += " " + codeSpan(g.Key)
	}
	s += ": " + g.Msg
	switch {
	case g.Before != "" && g.After != "":
		s += ": " + codeSpan(g.Before) + " → " + codeSpan(g.After)
	case g.Before+g.After != "":
		s += ": " + codeSpan(g.Before+g.After)
	}
	for _, more := range []struct{ word, value string }{{"see", g.By}, {"why:", g.Why}, {"owner", g.Owner}} {
		if more.value != "" {
			s += "; " + more.word + " " + codeSpan(more.value)
		}
	}
	if g.Pos.Line > 0 {
		s += " — " + codeSpan(fmt.Sprintf("%s:%d", g.Pos.File, g.Pos.Line))
		if g.Side == SideBase {
			s += " of base"
		}
	}
	return s + "\n"
}

func foldedDetails(details []string) string {
	if len(details) == 0 {
		return ""
	}
	s := fmt.Sprintf("  <details><summary>Details (%d)</summary>\n\n", len(details))
	for i, line := range details {
		if i == maxFoldedDetails {
			s += fmt.Sprintf("  - and %d more\n", len(details)-i)
			break
		}
		s += "  - " + codeSpan(line) + "\n"
	}
	return s + "\n  </details>\n"
}

// codeSpan returns text as a code span of CommonMark (0.31.2, section 6.1), in which nothing else has a meaning, in one line without characters
// that cannot be seen.
func codeSpan(s string) string {
	s = escape(diffCut(s, maxCodeSpan))
	longest, run := 0, 0
	for i := range len(s) {
		if run++; s[i] != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if s == "" || s[0] == '`' || s[len(s)-1] == '`' || s[0] == ' ' && s[len(s)-1] == ' ' {
		s = " " + s + " "
	}
	return fence + s + fence
}

// diffCut cuts text and says how much is missing.
func diffCut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes more)", s[:end], len(s)-end)
}
