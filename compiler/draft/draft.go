// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package draft

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
)

// Limits of what is imported at once. What is beyond them is an error.
const (
	MaxSource  = 4 << 20   // bytes of one file
	MaxTotal   = 64 << 20  // bytes of all files
	maxObjects = 20_000    // documents, and items of lists
	maxValues  = 2_000_000 // values in all documents, with aliases followed
	maxLevels  = 64        // how deep values stand in each other; manifests have about fifteen
)

// Source is one file of manifests: YAML with any number of documents, or JSON.
type Source struct {
	Path      string // for messages
	Data      []byte // UTF-8
	Namespace string // of objects that name none; "" is "default", as it is for kubectl
}

// Note says what was not carried over, or only in part, and where that stands.
type Note struct {
	Pos    schema.Pos `json:"pos"`    // in the manifest; columns in bytes, from 1
	Object string     `json:"object"` // such as "NetworkPolicy shop/web"
	Field  string     `json:"field"`  // such as "spec.ingress[0].from[1].ipBlock"; "" is the object as a whole
	Msg    string     `json:"msg"`    // what is not carried over and why
}

// String returns the note in one line fit for a terminal.
func (n Note) String() string {
	path := n.Object
	if n.Field != "" {
		path += ": " + n.Field
	}
	return compiler.Diagnostic{Pos: n.Pos, Path: path, Msg: n.Msg}.String()
}

// Result is what an import made.
type Result struct {
	Files   map[string][]byte // drafts by file name, in CUE, formatted
	Lost    []Note            // sorted by position
	Skipped map[string]int    // how many objects of each other kind there were, which are no policy; "" is what has no kind
}

// Import drafts policy from manifests. What could not be carried over is in the result; the error is about manifests that cannot be read.
// The same sources in the same order give the same result. Nothing is kept of them.
func Import(sources []Source) (*Result, error) {
	im, err := newImporter(sources)
	if err != nil {
		return nil, err
	}
	r := &Result{Files: map[string][]byte{}, Skipped: im.skipped}
	for _, g := range im.order {
		data, err := g.file()
		if err != nil {
			return nil, err
		}
		if data != nil {
			r.Files[g.name+".cue"] = data
		}
	}
	r.Lost = im.lost
	slices.SortStableFunc(r.Lost, func(a, b Note) int { return cmp.Or(a.Pos.Compare(b.Pos), cmp.Compare(a.Msg, b.Msg)) })
	r.Lost = slices.Compact(r.Lost) // one rule can make several flows that are lost for one reason
	return r, nil
}

// newImporter reads sources and translates all of their objects.
func newImporter(sources []Source) (*importer, error) {
	im := &importer{groups: map[string]*group{}, labels: map[string]labels{}, definitions: map[string]value{}, skipped: map[string]int{}, guesses: map[string]bool{}}
	if err := im.read(sources); err != nil {
		return nil, err
	}
	for _, o := range im.objects {
		im.index(o)
	}
	for _, o := range im.objects {
		im.translate(o)
	}
	im.settle()
	return im, nil
}

// importer holds what is known during an import.
type importer struct {
	objects     []*object
	labels      map[string]labels // of the Pods of a Deployment and the like, by "namespace/name"
	definitions map[string]value  // criteria of NvGroupDefinition, by its group's name
	groups      map[string]*group // by what they select
	order       []*group          // as they came
	mirrors     []mirror
	guesses     map[string]bool // that have been told
	lost        []Note
	skipped     map[string]int
	values      int
}

// translator drafts from one object.
type translator func(*importer, *object)

// kinds are those that are drafted from, by group and kind.
var kinds = map[string]translator{
	"networking.k8s.io/NetworkPolicy":            (*importer).networkPolicy,
	"extensions/NetworkPolicy":                   (*importer).networkPolicy,
	"security.kubearmor.com/KubeArmorPolicy":     (*importer).armorPolicy,
	"security.kubearmor.com/KubeArmorHostPolicy": (*importer).armorHostPolicy,
	"neuvector.com/NvSecurityRule":               (*importer).neuVectorRule,
	"neuvector.com/NvClusterSecurityRule":        (*importer).neuVectorRule,
	"neuvector.com/NvGroupDefinition":            func(*importer, *object) {}, // read by index
	"/Namespace":                                 (*importer).namespace,
}

// foreign are the API groups whose other objects are policy that is not carried over.
var foreign = []string{"security.kubearmor.com", "neuvector.com", "cilium.io", "crd.projectcalico.org", "projectcalico.org", "policy.networking.k8s.io",
	"kyverno.io", "policies.kyverno.io", "constraints.gatekeeper.sh", "templates.gatekeeper.sh", "tracing-policies.cilium.io", "security.istio.io"}

func (im *importer) translate(o *object) {
	t := kinds[o.group()+"/"+o.kind]
	isPolicy := t != nil || slices.Contains(foreign, o.group()) || strings.HasSuffix(o.kind, "Policy")
	switch damaged, why := o.root.damage(); {
	case !isPolicy:
		im.skipped[o.kind]++
	case t == nil:
		o.root.lost("objects of %s %s are not read", o.apiVersion, o.kind)
	case why != "":
		damaged.lost("%s, so the object is not drafted from", why)
	default:
		t(im, o)
	}
}

// index takes note of what other objects refer to.
func (im *importer) index(o *object) {
	if _, why := o.root.damage(); why != "" {
		return
	}
	switch o.group() + "/" + o.kind {
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet":
		im.indexLabels(o, "spec", "selector", "matchLabels")
	case "batch/Job":
		im.indexLabels(o, "spec", "template", "metadata", "labels")
	case "batch/CronJob":
		im.indexLabels(o, "spec", "jobTemplate", "spec", "template", "metadata", "labels")
	case "/Pod":
		im.indexLabels(o, "metadata", "labels")
	case "neuvector.com/NvGroupDefinition":
		if v, ok := o.root.dig("spec", "selector"); ok {
			if name, ok := v.dig("name"); ok {
				im.definitions[name.node.Value] = v
			}
		}
	}
}

type labels map[string]string

func (im *importer) indexLabels(o *object, path ...string) {
	v, ok := o.root.dig(path...)
	if !ok {
		return
	}
	found := labels{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		found[v.node.Content[i].Value] = resolve(v.node.Content[i+1]).Value
	}
	if len(found) > 0 {
		im.labels[o.namespace+"/"+o.name] = found
	}
}

// workload returns the group of containers that a match selects, and notes that an object speaks of it.
func (im *importer) workload(m schema.Match, o *object, names ...string) *group {
	key := matchKey(m)
	g := im.groups[key]
	if g == nil {
		g = newGroup(m)
		im.groups[key] = g
		im.order = append(im.order, g)
	}
	g.names = append(g.names, names...)
	if from := fmt.Sprintf("%s (%s)", o.label(), o.root.pos()); !slices.Contains(g.origins, from) {
		g.origins = append(g.origins, from)
	}
	return g
}

// settle decides what needs to know everything: names, references, what overlaps, what contradicts.
func (im *importer) settle() {
	for _, m := range im.mirrors {
		if g := im.groups[m.key]; g != nil && g.closed[m.plane] {
			g.flows[m.plane] = append(g.flows[m.plane], m.flow)
		}
	}
	workloads, bounds := map[string]bool{}, map[string]bool{}
	for _, g := range im.order {
		g.name = unique(workloads, g.candidates()...)
		for _, b := range g.sortedBounds() {
			b.name = unique(bounds, b.name, g.name+"-"+b.name)
		}
	}
	im.contradictions()
	for _, g := range im.order {
		for _, plane := range slices.Sorted(maps.Keys(g.flows)) {
			g.flows[plane] = im.references(g.flows[plane])
		}
		for _, b := range g.sortedBounds() {
			for _, plane := range slices.Sorted(maps.Keys(b.flows)) {
				b.flows[plane] = im.references(b.flows[plane])
			}
		}
	}
	im.overlaps()
}

// references puts the names of drafted workloads for what flows select, and drops those for which there is none.
func (im *importer) references(flows []*flow) []*flow {
	var kept []*flow
	for _, f := range flows {
		if f.to != nil {
			g := im.groups[matchKey(*f.to)]
			if g == nil || !g.stated() {
				f.at.lost("the peer is known by labels alone, and no workload is drafted that selects %s; "+
					"write one, then a rule {workload: %q, port: %s}", selects(*f.to), "NAME", portText(f.peer.Port))
				continue
			}
			f.peer.Workload, f.base = g.name, g.name
		}
		kept = append(kept, f)
	}
	return kept
}

// unique takes the first name that is not taken, or the last with a number.
func unique(taken map[string]bool, names ...string) string {
	last := ""
	for _, n := range names {
		if last = label(n); last != "" && !taken[last] {
			taken[last] = true
			return last
		}
	}
	for i := 2; ; i++ {
		suffix := fmt.Sprintf("-%d", i)
		if n := strings.TrimRight(last[:min(len(last), maxName-len(suffix))], "-") + suffix; !taken[n] {
			taken[n] = true
			return n
		}
	}
}

// maxName bounds names of workloads, which are DNS labels (RFC 1123).
const maxName = 63

// label makes a DNS label (RFC 1123) of a text: what is not a lower-case letter or a digit becomes a hyphen, and runs of those one.
func label(s string) string {
	var b []byte
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b = append(b, byte(r))
		case len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	return strings.Trim(string(b[:min(len(b), maxName)]), "-")
}

// guessed notes a guess, once.
func (im *importer) guessed(at value, what, format string, args ...any) {
	if !im.guesses[what] {
		im.guesses[what] = true
		at.lost(format, args...)
	}
}
