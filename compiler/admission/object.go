// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"time"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Made is what follows from one workload alone. The compiler keeps it.
type Made struct {
	_          struct{}      `cbor:",toarray"`
	Gatekeeper []Entry       // its entries in the objects of Gatekeeper
	Bare       []byte        // an entry that says what it selects, and nothing else
	Network    Network       // policies of the network
	VAP        []Entry       // its entries in the params of the ValidatingAdmissionPolicy
	Changes    []schema.Date // after which it would be another, its policies of the network apart
}

// Entry is what the objects of one action hold of a workload.
type Entry struct {
	_      struct{} `cbor:",toarray"`
	Action string   // "deny", "warn" or "dryrun"
	Text   []byte
}

// Workload is a workload whose part in the objects is made.
type Workload struct {
	Name  string
	Match schema.Match
	Made
}

// Make makes the part of one workload. Dated modes are decided at an instant; the zero Time takes the stricter side. cilium says whether the
// cluster's network is Cilium.
func Make(w *schema.Workload, at time.Time, cilium bool) (Made, error) {
	m := Made{VAP: newVAP(w, at)}
	var err error
	if m.Network, err = makeNetwork(w, at, cilium); err != nil {
		return m, err
	}
	if m.Gatekeeper, m.Changes, err = workloadEntries(w, at); err != nil {
		return m, err
	}
	m.Bare, err = encode(selecting(&w.Match))
	return m, err
}

// Input is what the objects follow from.
type Input struct {
	Workloads []Workload     // sorted by name
	Policy    *schema.Policy // all but its workloads
	At        time.Time      // as for [Make]
	// Config is what enforces, and how: what the policy states, with what the cluster and the command replace. The zero Admission is the defaults.
	Config schema.Admission
}

// Objects returns all objects, in no order.
func Objects(in Input) ([]Object, error) {
	var all []Object
	if in.Config.Gatekeeper() {
		objects, err := gatekeeper(in)
		if err != nil {
			return nil, err
		}
		all = append(all, marked(schema.AdmissionGatekeeper, objects)...)
	}
	if in.Config.VAP() {
		all = append(all, marked(schema.AdmissionVAP, vap(in))...)
	}
	return all, nil
}

// marked says of objects whom they are for.
func marked(by string, objects []Object) []Object {
	for i := range objects {
		objects[i].By = by
	}
	return objects
}

// BoundChanges returns the dates of a bound after which the objects would be others.
func BoundChanges(b *schema.Bound) []schema.Date {
	if _, ok, err := boundEntry(b); !ok || err != nil {
		return nil
	}
	return changeOf(b.Mode, b.Then, b.After)
}

// Stage is when an object is applied: after all objects of the stages before it are in force.
type Stage int

// The stages.
const (
	StageDefinitions Stage = iota // kinds and namespaces that other objects need
	StageTemplates                // what defines the kind of a constraint
	StageRules                    // what holds the policy
	StageBindings                 // what puts it in force
	StageNetwork                  // objects of the network, for which nothing else waits
)

// Object is one Kubernetes object.
type Object struct {
	Name  string // of its file, without the extension; unique among all objects
	Stage Stage
	By    string   // schema.AdmissionGatekeeper or schema.AdmissionVAP: whom it is for; "" for the network
	From  []string // what it follows from, beside the version of the compiler; of long texts their digests
	body  func() object
}

// Path returns the object's path in the bundle.
func (o Object) Path() string {
	if o.Stage == StageNetwork {
		return bundle.NetworkDir + "/" + o.Name + ".yaml"
	}
	return bundle.AdmissionDir + "/" + o.Name + ".yaml"
}

// Encode writes the object as YAML, annotated with the digest of what it is without that.
func (o Object) Encode() ([]byte, error) {
	body := o.body()
	if o.Stage == StageNetwork {
		return encodeNetwork(body), nil
	}
	data, err := yaml.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("emit %s: %w", o.Name, err)
	}
	meta := body["metadata"].(object)
	annotations, _ := meta["annotations"].(object)
	if annotations == nil {
		annotations = object{}
		meta["annotations"] = annotations
	}
	annotations[digestAnnotation] = bundle.Sum(data)
	if data, err = yaml.Marshal(body); err != nil {
		return nil, fmt.Errorf("emit %s: %w", o.Name, err)
	}
	return data, nil
}

type object = map[string]any

const (
	digestAnnotation = "writ-sec.github.io/digest"
	managedBy        = "app.kubernetes.io/managed-by"
)

// Ours reports whether labels and annotations are those of an object that this package made.
func Ours(labels, annotations map[string]string) bool {
	return labels[managedBy] == "writ" && annotations[digestAnnotation] != ""
}

func metadata(name string) object {
	return object{"name": name, "labels": object{managedBy: "writ"}}
}

// actions maps what a mode does with what no rule allows to Gatekeeper's words. Audit warns the person who creates the Pod, and Gatekeeper's
// own audit records it; learn only records it.
var actions = map[schema.Mode]string{schema.ModeEnforce: "deny", schema.ModeAudit: "warn", schema.ModeLearn: "dryrun"}

// actionAt returns the action of a dated mode: that of modeAt, or of the stricter side without an instant.
func actionAt(now, then, modeAt schema.Mode, at time.Time) string {
	if at.IsZero() && then != "" {
		return actions[schema.Strictest(now, then)]
	}
	return actions[modeAt]
}
