// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

// effect is what a container has in effect, or what the Pod itself says. It is not set if neither says anything.
type effect struct {
	container string // "" for the Pod
	reading
}

// effective returns what the Pod says, if it does, and what each container has: its own value, else the Pod's.
func (s *scan) effective(read func(security node) reading) []effect {
	var all []effect
	pod := read(s.security)
	if pod.set {
		all = append(all, effect{"", pod})
	}
	for _, c := range s.containers {
		own := read(c.security)
		if !own.set && pod.set {
			own = pod
		}
		all = append(all, effect{c.name, own})
	}
	return all
}

// users emits who the containers run as.
func (s *scan) users() {
	for _, e := range s.effective(func(n node) reading { return n.boolean("runAsNonRoot") }) {
		nonRoot := e.or("false")
		s.put(schema.PodNonRoot, e.container, nonRoot)
		s.put(schema.PodRootAllowed, e.container, s.root(nonRoot, nonRoot.value == "false"))
	}
	for _, e := range s.effective(func(n node) reading { return n.number("runAsUser") }) {
		s.put(schema.PodRunAsUser, e.container, e.reading)
		s.put(schema.PodRootUser, e.container, s.root(e.reading, e.set && e.value == "0"))
	}
}

// root says whether a reading is one of root, which it is not in a user namespace.
func (s *scan) root(r reading, isRoot bool) reading {
	return reading{strconv.FormatBool(isRoot && !s.userNamespace), r.path, true}
}

// profiles emits what confines the containers, but for AppArmor.
func (s *scan) profiles() {
	if !s.windows {
		for _, e := range s.effective(func(n node) reading { return n.profile("seccompProfile") }) {
			s.put(schema.PodSeccomp, e.container, e.or(""))
		}
	}
	for _, e := range s.effective(func(n node) reading { return n.object("windowsOptions").boolean("hostProcess") }) {
		s.put(schema.PodHostProcess, e.container, e.or("false"))
	}
	for _, e := range s.effective(func(n node) reading { return n.options(func(o node) reading { return o.text("type").or("") }) }) {
		s.put(schema.PodSELinuxType, e.container, e.or(""))
	}
	for _, e := range s.effective(func(n node) reading { return n.options(userOrRole) }) {
		s.put(schema.PodSELinuxUserRole, e.container, e.or("false"))
	}
}

// profile returns the type of a profile. One without a type is no profile that could be inherited in its place.
func (n node) profile(name string) reading {
	profile := n.object(name)
	if !profile.isSet() {
		return reading{path: profile.path}
	}
	return profile.text("type").or("")
}

// options reads the options for SELinux, which a container replaces as a whole.
func (n node) options(read func(node) reading) reading {
	options := n.object("seLinuxOptions")
	if !options.isSet() {
		return reading{path: options.path}
	}
	return read(options)
}

// userOrRole says whether a user or a role is set.
func userOrRole(options node) reading {
	for _, name := range []string{"user", "role"} {
		if r := options.text(name); r.value != "" {
			return reading{"true", r.path, true}
		}
	}
	return reading{"false", options.path, true}
}

// appArmorPrefix is that of the deprecated annotations; a container's name follows. Their values are those of
// staging/src/k8s.io/api/core/v1/annotation_key_constants.go.
const appArmorPrefix = "container.apparmor.security.beta.kubernetes.io/"

// appArmor emits the profiles. What a container sets goes before its annotation, which goes before what the Pod sets
// (applyAppArmorVersionSkew in pkg/registry/core/pod/strategy.go). An annotation is emitted also if it has no effect.
func (s *scan) appArmor() {
	annotations := s.metadata.object("annotations")
	annotated := map[string]bool{}
	for _, key := range sortedKeys(annotations.fields) {
		name, ok := strings.CutPrefix(key, appArmorPrefix)
		if !ok {
			continue
		}
		if r := annotations.text(key); r.value != "" {
			r.value, annotated[name] = appArmorType(r.value)
			s.put(schema.PodAppArmor, name, r)
		}
	}
	pod := s.security.profile("appArmorProfile")
	s.put(schema.PodAppArmor, "", pod)
	for _, c := range s.containers {
		own := c.security.profile("appArmorProfile")
		switch {
		case own.set:
			s.put(schema.PodAppArmor, c.name, own)
		case annotated[c.name]: // is emitted
		case pod.set:
			s.put(schema.PodAppArmor, c.name, pod)
		default:
			s.put(schema.PodAppArmor, c.name, own.or(""))
		}
	}
}

// appArmorType returns the type that the value of an annotation means. One that means none has no effect, and gets a name that no type has.
func appArmorType(annotation string) (name string, ok bool) {
	switch {
	case annotation == "runtime/default":
		return "RuntimeDefault", true
	case strings.HasPrefix(annotation, "localhost/"):
		return "Localhost", true
	case annotation == "unconfined":
		return "Unconfined", true
	}
	return "annotation:" + annotation, false
}
