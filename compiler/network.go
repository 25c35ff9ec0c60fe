// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"slices"

	"github.com/writ-sec/writ/compiler/admission"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// network is which policy of the network each workload has.
type network struct {
	forms    map[string]admission.Form // by workload; those that have none are not in it
	withheld bundle.Withheld
}

// networked is a workload that mentions egress or ingress.
type networked struct {
	*head
	made *admission.Network
}

// decideNetwork decides which policy of the network each workload has. Policies of the network add up as workloads do. So a plane of a
// workload that may select the same Pods as another one whose rules for that plane stand in no policy has none either: it would deny what
// those rules allow. And what restricts names and requests for one of them would do so for the other.
func decideNetwork(all []networked) network {
	slices.SortFunc(all, func(a, b networked) int { return compareStrings(a.name, b.name) })
	made := map[*head]*admission.Network{}
	for _, w := range all {
		made[w.head] = w.made
	}
	n := network{forms: map[string]admission.Form{}, withheld: bundle.Withheld{}}
	wide := map[*head]bool{}
	have := map[*head]admission.Sides{}
	for _, s := range []admission.Sides{admission.SideEgress, admission.SideIngress} {
		sp := newSpread(all, s)
		sp.withhold()
		for h, by := range sp.without {
			if by != nil {
				n.hold(h, s, bundle.Withholding{For: by.name})
			}
		}
		for h, by := range sp.narrowed() {
			wide[h] = true
			n.hold(h, s, bundle.Withholding{For: by.name, Wide: true})
		}
		for _, h := range sp.with {
			have[h] |= s
		}
	}
	for h, s := range have {
		if f, ok := made[h].Form(s, !wide[h]); ok {
			n.forms[h.name] = f
		}
	}
	return n
}

// objects lists the objects, without their content.
func (n *network) objects() []admission.Object {
	var all []admission.Object
	for name := range n.forms {
		all = append(all, admission.Object{Name: name, Stage: admission.StageNetwork})
	}
	return all
}

func (n *network) hold(h *head, s admission.Sides, why bundle.Withholding) {
	if n.withheld[h.name] == nil {
		n.withheld[h.name] = map[schema.Plane]bundle.Withholding{}
	}
	n.withheld[h.name][s.Plane()] = why
}

// spread is how one plane goes without policies.
type spread struct {
	with    []*head         // those that have one, sorted by name
	without map[*head]*head // those that have none, and the other workload that is the reason; nil: it is the reason itself
	layer7  map[*head]bool  // those of with whose policy would restrict names or requests
}

func newSpread(all []networked, s admission.Sides) *spread {
	sp := &spread{without: map[*head]*head{}, layer7: map[*head]bool{}}
	for _, w := range all {
		side, ok := w.made.Side(s)
		switch {
		case !ok:
		case side.Why != 0:
			sp.without[w.head] = nil
		default:
			sp.with = append(sp.with, w.head)
			sp.layer7[w.head] = side.Layer7
		}
	}
	return sp
}

// withhold takes the policy from every workload that may select the same Pods as one without a policy, and so on until none is left.
func (sp *spread) withhold() {
	var latest []*head
	for h := range sp.without {
		latest = append(latest, h)
	}
	slices.SortFunc(latest, func(a, b *head) int { return compareStrings(a.name, b.name) })
	for len(latest) > 0 && len(sp.with) > 0 {
		var next []*head
		take := pairing(func(a *head, others []*head) {
			for _, b := range others {
				if _, done := sp.without[b]; !done && samePods(a, b) {
					sp.without[b] = a
					next = append(next, b)
				}
			}
		})
		gone := func(h *head) bool { _, is := sp.without[h]; return is }
		for _, h := range latest[:min(len(latest), pairwise)] { // where everything meets, these few leave little to sort
			take(h, sp.with)
			sp.with = slices.DeleteFunc(sp.with, gone)
		}
		take.between(latest[min(len(latest), pairwise):], sp.with)
		sp.with = slices.DeleteFunc(sp.with, gone)
		latest = next
	}
}

// narrowed returns those of the workloads with a policy that must not restrict names and requests, and because of whom.
func (sp *spread) narrowed() map[*head]*head {
	found := map[*head]*head{}
	restricting := slices.DeleteFunc(slices.Clone(sp.with), func(h *head) bool { return !sp.layer7[h] })
	pairing(func(a *head, others []*head) {
		for _, b := range others {
			if found[a] != nil {
				return
			}
			if a != b && samePods(a, b) {
				found[a] = b
			}
		}
	}).between(restricting, sp.with)
	return found
}

// samePods reports whether two workloads may select the same Pod. One without a policy may select a container of it alone.
func samePods(a, b *head) bool {
	if apart(&a.match, &b.match) {
		return false
	}
	_, ok := matchWitness(&a.match, &b.match)
	return ok
}

// NetworkPlane says what becomes of one plane of a workload in the network.
type NetworkPlane struct {
	Workload string       `json:"workload"`
	Plane    schema.Plane `json:"plane"`
	Kind     string       `json:"kind,omitempty"`  // "NetworkPolicy" or "CiliumNetworkPolicy"; "": there is no policy
	Why      string       `json:"why,omitempty"`   // why there is none
	Wider    []string     `json:"wider,omitempty"` // what of it is wider than the rules
}

// Network says of every plane egress and ingress that a workload mentions what becomes of it in the network, by workload and plane. Policies
// of the network never deny what [schema.Judge] allows; this is what they do not deny either, and where there are none.
func (r *Result) Network() []NetworkPlane {
	var all []NetworkPlane
	for _, gr := range r.linked.g.groups {
		for i := range gr.made.Workloads {
			m := &gr.made.Workloads[i]
			for _, side := range m.Admission.Network.Planes {
				all = append(all, r.linked.networkPlane(m.Name, side))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b NetworkPlane) int { return compareStrings(a.Workload, b.Workload) })
	return all
}

func (n *network) networkPlane(workload string, side admission.Side) NetworkPlane {
	p := NetworkPlane{Workload: workload, Plane: side.Side.Plane()}
	held, isHeld := n.withheld[workload][p.Plane]
	form := n.forms[workload]
	notes := side.Wider
	switch {
	case side.Why != 0:
		p.Why = side.Why.String()
		return p
	case isHeld && !held.Wide:
		p.Why = withheldText(held)
		return p
	case form.Layer7 && side.Layer7:
		notes = side.Narrow
	}
	p.Kind = form.Kind
	for _, note := range notes {
		p.Wider = append(p.Wider, note.String())
	}
	if isHeld {
		p.Wider = append(p.Wider, withheldText(held))
	}
	return p
}

// withheldText says why another workload stands in the way.
func withheldText(h bundle.Withholding) string {
	if h.Wide {
		return admission.WiderShared.String() + " (" + h.For + ")"
	}
	return admission.WhyOverlap.String() + " (" + h.For + ")"
}
