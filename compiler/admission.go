// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// admissionRego judges images. It never changes with the data.
//
//go:embed admission.rego
var admissionRego string

// Sizes of admission objects. A review reads the sections of its own namespace only, but all of a constraint's parameters are held in
// memory and sent on each change, so a shard stays far below the 1.5 MiB that etcd takes.
const (
	shardBytes   = 256 << 10
	manyInOne    = 100 // workloads of a namespace from which on each label has a section of its own
	maxSections  = 64  // shards of one kind; beyond it they grow
	anyNamespace = "*"
)

const (
	templateKind     = "WritImage"
	digestAnnotation = "writ-sec.github.io/digest"
)

// enforcementActions maps what a mode does with an image that no rule allows to Gatekeeper's words. Audit warns the person who creates the
// Pod, and Gatekeeper's own audit records it; learn only records it.
var enforcementActions = map[schema.Mode]string{schema.ModeEnforce: "deny", schema.ModeAudit: "warn", schema.ModeLearn: "dryrun"}

// imageWorkload is a workload as the Rego reads it; see admission.rego for the letters.
type imageWorkload struct {
	Name        string                       `json:"n"`
	Owner       string                       `json:"o,omitempty"`
	Closure     schema.RuleID                `json:"c"`
	Labels      map[string]string            `json:"l"`
	Expressions map[string]schema.Expression `json:"x,omitempty"`
	Container   string                       `json:"k,omitempty"` // a regular expression
	Exact       map[string][][2]string       `json:"e,omitempty"`
	Dirs        [][3]string                  `json:"d,omitempty"`
	Regexps     [][3]string                  `json:"r,omitempty"`
}

// section is one JSON string of a constraint's parameters.
type section struct {
	namespace, key, text string
}

// imageEntry is the condition on images of one workload, written.
type imageEntry struct {
	name   string
	match  schema.Match
	action string
	text   []byte
}

// emitImage writes a workload's condition on images, for a constraint with the enforcement action. Nil if it has none.
func emitImage(w *schema.Workload, at time.Time) (text []byte, action string, err error) {
	c, ok := w.Closure(schema.PlaneImage)
	if !ok || !c.Names(schema.VerbRun) {
		return nil, "", nil
	}
	iw, err := newImageWorkload(w, c)
	if err != nil {
		return nil, "", err
	}
	mode := c.ModeAt(at)
	if at.IsZero() && c.Then != "" {
		mode = schema.Strictest(c.Mode, c.Then)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(iw); err != nil {
		return nil, "", err
	}
	return bytes.TrimSpace(buf.Bytes()), enforcementActions[mode], nil
}

// emitAdmission returns the Kubernetes objects: one template, and constraints that hold the workloads with image rules. Without such
// workloads there are none. A shard whose workloads did not change is not written anew.
func (r *run) emitAdmission(images []imageEntry) (map[string][]byte, error) {
	byAction := map[string]map[string][]imageEntry{} // then by namespace
	for _, im := range images {
		if byAction[im.action] == nil {
			byAction[im.action] = map[string][]imageEntry{}
		}
		namespace := im.match.Namespace
		if namespace == "" {
			namespace = anyNamespace
		}
		byAction[im.action][namespace] = append(byAction[im.action][namespace], im)
	}
	files := map[string][]byte{}
	for action, byNamespace := range byAction {
		for name, sections := range shards(byNamespace) {
			if err := r.addShard(files, action, "writ-image-"+action+"-"+name, sections); err != nil {
				return nil, err
			}
		}
	}
	if len(files) > 0 {
		if err := addObject(files, template()); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addShard writes one constraint.
func (r *run) addShard(files map[string][]byte, action, name string, sections []section) error {
	parts := []any{"shard", r.version, action, name}
	for _, s := range sections {
		parts = append(parts, s.namespace, s.key, s.text)
	}
	key := contentKey(parts...)
	if data := r.store.head(key); data != nil {
		files[bundle.AdmissionDir+"/"+name+".yaml"] = data
		return nil
	}
	if err := addObject(files, constraint(action, name, sections)); err != nil {
		return err
	}
	r.store.keep(key, files[bundle.AdmissionDir+"/"+name+".yaml"], nil)
	return nil
}

func newImageWorkload(w *schema.Workload, c schema.Closure) (imageWorkload, error) {
	iw := imageWorkload{Name: w.Name, Owner: w.Owner, Closure: c.ID, Labels: w.Match.Labels, Exact: map[string][][2]string{}}
	if iw.Labels == nil {
		iw.Labels = map[string]string{}
	}
	iw.Expressions = w.Match.Expressions
	if w.Match.Container != "" {
		iw.Container = "^" + strings.ReplaceAll(quoteRegexp(w.Match.Container), "\\*", "[^/]*") + "$"
	}
	for _, r := range w.Rules {
		if r.Verb != schema.VerbRun {
			continue
		}
		pattern, err := schema.ParseImagePattern(r.Object)
		if err != nil {
			return iw, fmt.Errorf("emit workload %s: image pattern %q %w", w.Name, r.Object, err) // checked before
		}
		name := pattern.Host + "/" + pattern.Path
		switch dir, isDir := strings.CutSuffix(name, "**"); {
		case !strings.Contains(name, "*"):
			iw.Exact[name] = append(iw.Exact[name], [2]string{pattern.Tag, pattern.Digest})
		case isDir && !strings.Contains(dir, "*"):
			iw.Dirs = append(iw.Dirs, [3]string{dir, pattern.Tag, pattern.Digest})
		default:
			iw.Regexps = append(iw.Regexps, [3]string{imageRegexp(pattern), pattern.Tag, pattern.Digest})
		}
	}
	return iw, nil
}

// imageRegexp writes a pattern as a regular expression (RE2) over "host/path" that matches what [schema.ImagePattern.Matches] does.
func imageRegexp(p schema.ImagePattern) string {
	var b strings.Builder
	b.WriteString("^" + quoteRegexp(p.Host))
	segments := strings.Split(p.Path, "/")
	for i, s := range segments {
		switch {
		case s == "**" && i == len(segments)-1:
			b.WriteString("(/[^/]+)+")
		case s == "**":
			b.WriteString("(/[^/]+)*")
		default:
			b.WriteString("/" + strings.ReplaceAll(quoteRegexp(s), "\\*", "[^/]*"))
		}
	}
	return b.String() + "$"
}

// quoteRegexp escapes what is not a letter or digit. Patterns hold printable ASCII alone.
func quoteRegexp(s string) string {
	var b strings.Builder
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// shards lays out the sections of one enforcement action: small namespaces share shards by a stable hash, a namespace of many workloads and
// the workloads of no namespace get their own. The result is by the end of the constraint's name.
func shards(byNamespace map[string][]imageEntry) map[string][]section {
	all := map[string][]section{}
	var small []section
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		sections := sectionsOf(namespace, byNamespace[namespace])
		switch {
		case namespace == anyNamespace:
			split(all, "any", sections)
		case len(sections) > 1:
			split(all, fmt.Sprintf("ns-%016x", hash(namespace)), sections)
		default:
			small = append(small, sections...)
		}
	}
	split(all, "shared", small)
	return all
}

// split spreads sections over a power of two of shards, so that a change moves few of them.
func split(all map[string][]section, name string, sections []section) {
	size, n := 0, 1
	for _, s := range sections {
		size += len(s.text)
	}
	for n*shardBytes < size && n < maxSections {
		n *= 2
	}
	for _, s := range sections {
		shard := fmt.Sprintf("%s-%d-%d", name, n, hash(s.key)%uint64(n))
		all[shard] = append(all[shard], s)
	}
}

// hash spreads names over shards. It is no defence: who writes policy may fill a shard.
func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// sectionsOf writes the workloads of a namespace, sorted by name as the policy is. Of many, each stands under the label that the fewest
// others name, so that a Pod's labels lead to few of them.
func sectionsOf(namespace string, ws []imageEntry) []section {
	if len(ws) <= manyInOne {
		return []section{{namespace, namespace, compact(ws)}}
	}
	count := map[string]int{}
	for _, w := range ws {
		for k, v := range w.match.Labels {
			count[k+"="+v]++
		}
	}
	byKey := map[string][]imageEntry{}
	for _, w := range ws {
		rarest := ""
		for _, k := range slices.Sorted(maps.Keys(w.match.Labels)) {
			if l := k + "=" + w.match.Labels[k]; rarest == "" || count[l] < count[rarest] {
				rarest = l
			}
		}
		byKey[namespace+"/"+rarest] = append(byKey[namespace+"/"+rarest], w)
	}
	var sections []section
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		sections = append(sections, section{namespace, key, compact(byKey[key])})
	}
	return sections
}

func compact(ws []imageEntry) string {
	var b strings.Builder
	for i, w := range ws {
		b.WriteString(map[bool]string{true: "[", false: ","}[i == 0])
		b.Write(w.text)
	}
	return b.String() + "]"
}

type object = map[string]any

// constraint is one shard. Its match names its namespaces, so that Gatekeeper does not read it for others.
func constraint(action, name string, sections []section) object {
	parameters := map[string]string{}
	namespaces := map[string]bool{}
	for _, s := range sections {
		parameters[s.key] = s.text
		namespaces[s.namespace] = true
	}
	match := object{"kinds": []object{{"apiGroups": []string{""}, "kinds": []string{"Pod"}}}}
	if !namespaces[anyNamespace] {
		match["namespaces"] = slices.Sorted(maps.Keys(namespaces))
	}
	return object{
		"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": templateKind, "metadata": metadata(name),
		"spec": object{"enforcementAction": action, "match": match, "parameters": object{"sections": parameters}},
	}
}

func template() object {
	return object{
		"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": metadata(strings.ToLower(templateKind)),
		"spec": object{
			"crd": object{"spec": object{
				"names": object{"kind": templateKind},
				"validation": object{"openAPIV3Schema": object{
					"type": "object",
					"properties": object{"sections": object{
						"type":                 "object",
						"description":          "The workloads of each namespace, as JSON.",
						"additionalProperties": object{"type": "string"},
					}},
				}},
			}},
			"targets": []object{{
				"target": "admission.k8s.gatekeeper.sh",
				"code":   []object{{"engine": "Rego", "source": object{"version": "v1", "rego": admissionRego}}},
			}},
		},
	}
}

func metadata(name string) object {
	return object{"name": name, "labels": object{"app.kubernetes.io/managed-by": "writ"}}
}

// addObject writes one object, annotated with the digest of what it was before that.
func addObject(files map[string][]byte, o object) error {
	meta := o["metadata"].(object)
	name := meta["name"].(string)
	data, err := yaml.Marshal(o)
	if err != nil {
		return fmt.Errorf("emit %s: %w", name, err)
	}
	meta["annotations"] = object{digestAnnotation: bundle.Sum(data)}
	if data, err = yaml.Marshal(o); err != nil {
		return fmt.Errorf("emit %s: %w", name, err)
	}
	files[bundle.AdmissionDir+"/"+name+".yaml"] = data
	return nil
}
