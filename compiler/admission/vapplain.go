// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	texttemplate "text/template"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// plainCEL says whether a Pod is plainly allowed; see there.
//
//go:embed plain.cel
var plainCEL string

// Bounds of what is plainly allowed, so that the limit of an expression is far away: it would deny. The rest has the limits of many expressions.
const (
	maxPlainContainers = 16
	maxPlainLabels     = 32
	maxPlainWorkloads  = 16 // that stand under the labels
	maxPlainPatterns   = 64 // of a kind, in a workload
	maxPlainBounds     = 64 // and patches
)

// celPlain is the expression of plain.cel for kinds that make Pods.
func celPlain(makers manifest.Makers) string {
	typed := manifest.Makers{}
	for kind, path := range manifest.Builtin() {
		if slices.Equal(makers[kind], path) {
			typed[kind] = path
		}
	}
	return celSections(plainCEL, texttemplate.FuncMap{
		"pods": func() string { return celPods(typed, "object") },
		"most": func() map[string]int {
			return map[string]int{"containers": maxPlainContainers, "labels": maxPlainLabels, "workloads": maxPlainWorkloads, "bounds": maxPlainBounds}
		},
		"selects":     func(w string) string { return celSelects(w, "ls", "ps") },
		"plainImage":  plainImage,
		"plainMatch":  plainMatch,
		"plainMiss":   plainMiss,
		"profiles":    plainProfiles,
		"permitted":   func(r string) string { return plainRule(r, permittedBy) },
		"unforbidden": func(r string) string { return plainRule(r, unforbiddenBy) },
	})[0].text
}

// The grammar of references that begin with a host, as [schema.ParseImage] has it, without what it would change: upper case.
const plainPattern = `^[a-z0-9]+(?:[.-][a-z0-9]+)*(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)+` +
	`(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,99})?(?:@sha256:[0-9a-f]{64})?$`

// plainImage is an image with the host and the path that are left out in short names, or ” if it is not plainly a reference.
func plainImage(image string) string {
	full := fmt.Sprintf("(!%[1]s.contains('/') ? 'docker.io/library/' + %[1]s : %[1]s.startsWith('index.docker.io/') || %[1]s.matches('^docker.io/[^/]*$') ? '' : "+
		"%[1]s.matches('^(?:[^/]*[.:][^/]*|localhost)/') ? %[1]s : 'docker.io/' + %[1]s)", image)
	return fmt.Sprintf("[%s].map(f, size(f) <= 300 && f.matches(%s) ? f : '')[0]", full, celString(plainPattern))
}

// plainName is the host and path of a plain reference.
func plainName(x string) string {
	return x + ".find(" + celString("^[^/]*(?:/[^/:@]+)+") + ")"
}

// plainMatch says that a pattern of r matches a plain reference. What begins with host and path goes on with a tag or a digest.
func plainMatch(r, x string) string {
	return fmt.Sprintf("(has(%[1]s.e) && size(%[1]s.e) <= %[4]d && %[1]s.e.exists(e, %[2]s == e || %[2]s.startsWith(e + ':') || %[2]s.startsWith(e + '@')) || "+
		"has(%[1]s.g) && size(%[1]s.g) <= %[4]d && %[1]s.g.exists(y, !has(y.t) && !has(y.d) && (has(y.s) ? %[2]s.startsWith(y.s) && (!has(y.o) || !%[2]s.substring(size(y.s)).contains('/')) : "+
		"%[3]s.matches(y.m))))", r, x, plainName(x), maxPlainPatterns)
}

// plainMiss says that no pattern of r matches a plain reference, whatever its tag.
func plainMiss(r, x string) string {
	return fmt.Sprintf("[%[2]s].all(n, (!has(%[1]s.e) || !%[1]s.e.exists(e, e.startsWith(n))) && "+
		"(!has(%[1]s.g) || !%[1]s.g.exists(y, has(y.s) ? n.startsWith(y.s) : n.matches(y.m))))", r, plainName(x))
}

// plainWords is what a rule says of a value and of a flag, as expressions.
type plainWords struct {
	value, flag func(x string) string
	demanded    string // a list of what must be dropped; "" if nothing is demanded
}

// permittedBy are the words of a rule of a workload.
func permittedBy(r string) plainWords {
	values := r + ".?v.orValue([])"
	return plainWords{
		value:    func(x string) string { return "(" + x + ") in " + values },
		flag:     func(x string) string { return "string(" + x + ") in " + values },
		demanded: values,
	}
}

// unforbiddenBy are those of a rule of a bound.
func unforbiddenBy(r string) plainWords {
	not := func(x string) string {
		return fmt.Sprintf("!has(%[1]s.m) && !(string(%[2]s) in %[1]s.?v.orValue([]))", r, x)
	}
	return plainWords{value: not, flag: not}
}

// profileWords are those of a rule of a profile, whose values are known.
func profileWords(r *schema.Rule) plainWords {
	values := celStrings(r.Values)
	return plainWords{
		value: func(x string) string { return "(" + x + ") in " + values },
		flag: func(x string) string {
			if slices.Equal(r.Values, []string{"false"}) {
				return "!" + x
			}
			return "string(" + x + ") in " + values
		},
		demanded: values,
	}
}

// plainField says when the values of a field are plainly right: what holds for the Pod, and what for each container c with its security context k.
// Both are false where nothing is known.
func plainField(f schema.PodField, w plainWords) (pod, container string) {
	switch f {
	case schema.PodHostNetwork, schema.PodHostPID, schema.PodHostIPC:
		return w.flag("s.?" + string(f) + ".orValue(false)"), ""
	case schema.PodAutomount:
		return w.flag("s.?" + string(f) + ".orValue(true)"), ""
	case schema.PodPrivileged, schema.PodReadOnlyRoot:
		return "", w.flag("k.?" + string(f) + ".orValue(false)")
	case schema.PodEscalation:
		return "", w.flag("k.?" + string(f) + ".orValue(true)")
	case schema.PodServiceAccount:
		return "s.?serviceAccountName.orValue('') != '' && " + w.value("s.serviceAccountName"), ""
	case schema.PodVolumes:
		return "(!has(s.volumes) || s.volumes.all(v, size(v) == 2 && v.all(n, n == 'name' || " + w.value("n") + ")))", ""
	case schema.PodHostPaths:
		return "(!has(s.volumes) || !s.volumes.exists(v, has(v.hostPath)))", ""
	case schema.PodSysctls:
		return "!has(z.sysctls)", ""
	case schema.PodHostPorts:
		return "!has(s.hostNetwork)", "(!has(c.ports) || !c.ports.exists(o, has(o.hostPort)))"
	case schema.PodProbeHosts:
		return "", plainProbes()
	}
	return plainSecurity(f, w)
}

// plainSecurity goes on with the fields of security contexts.
func plainSecurity(f schema.PodField, w plainWords) (pod, container string) {
	switch f {
	case schema.PodAddCapabilities:
		return "", "(!has(k.capabilities) || !has(k.capabilities.add) || k.capabilities.add.all(a, a.matches('^[A-Z_]+$') && !a.startsWith('CAP_') && a != 'ALL' && " + w.value("a") + "))"
	case schema.PodDropCapabilities:
		if w.demanded == "" {
			break
		}
		return "", fmt.Sprintf("k.?capabilities.?drop.hasValue() && ('ALL' in k.capabilities.drop || %s.all(v, v in k.capabilities.drop))", w.demanded)
	case schema.PodNonRoot:
		return "(!has(z.runAsNonRoot) || " + w.flag("z.runAsNonRoot") + ")", w.flag("(has(k.runAsNonRoot) ? k.runAsNonRoot : z.?runAsNonRoot.orValue(false))")
	case schema.PodRunAsUser:
		return "(!has(z.runAsUser) || " + w.value("string(z.runAsUser)") + ")", "(!has(k.runAsUser) || " + w.value("string(k.runAsUser)") + ")"
	case schema.PodRootAllowed:
		return "(!has(z.runAsNonRoot) || z.runAsNonRoot)", "(has(k.runAsNonRoot) ? k.runAsNonRoot : z.?runAsNonRoot.orValue(false))"
	case schema.PodRootUser:
		return "(!has(z.runAsUser) || z.runAsUser != 0)", "(!has(k.runAsUser) || k.runAsUser != 0)"
	case schema.PodSeccomp:
		return plainType("seccompProfile", w)
	case schema.PodAppArmor:
		pod, container := plainType("appArmorProfile", w)
		return "!p.?metadata.?annotations.orValue({}).exists(a, a.startsWith('container.apparmor.'))" + " && " + pod, container
	case schema.PodSELinuxType, schema.PodSELinuxUserRole:
		return "!has(z.seLinuxOptions)", "!has(k.seLinuxOptions)"
	case schema.PodProcMount:
		return "", "(!has(k.procMount) || k.procMount == 'Default')"
	case schema.PodHostProcess:
		return "!has(z.windowsOptions)", "!has(k.windowsOptions)"
	}
	return "false", ""
}

// plainType is the type of a profile of seccomp or AppArmor.
func plainType(name string, w plainWords) (pod, container string) {
	return fmt.Sprintf("(!has(z.%[1]s) || %[2]s)", name, w.value("z."+name+".type")),
		w.value(fmt.Sprintf("has(k.%[1]s) ? k.%[1]s.type : z.?%[1]s.?type.orValue('')", name))
}

// plainProbes says that no probe and no hook of a container names a host.
func plainProbes() string {
	var all []string
	handler := func(x string) string {
		return fmt.Sprintf("(!has(%[1]s) || !%[1]s.?httpGet.?host.hasValue() && !%[1]s.?tcpSocket.?host.hasValue())", x)
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
		all = append(all, handler("c."+probe))
	}
	return strings.Join(all, " && ") + " && (!has(c.lifecycle) || " + handler("c.lifecycle.postStart") + " && " + handler("c.lifecycle.preStop") + ")"
}

// plainProfiles says that a Pod holds a profile of a name.
func plainProfiles(name string) string {
	var b strings.Builder
	for _, profile := range schema.Profiles {
		if rules := schema.ProfileRules(profile); len(rules) > 0 {
			var pod, containers []string
			for i := range rules {
				p, c := plainField(schema.PodField(rules[i].Object), profileWords(&rules[i]))
				pod, containers = append(pod, p), append(containers, c)
			}
			fmt.Fprintf(&b, "%s == '%s' ? %s : ", name, profile, plainAll(pod, containers))
		}
	}
	return "(" + b.String() + "false)"
}

// plainRule says that a rule of any field holds.
func plainRule(r string, by func(string) plainWords) string {
	var b strings.Builder
	for _, f := range schema.PodFields {
		pod, container := plainField(f, by(r))
		if pod != "false" {
			fmt.Fprintf(&b, "%s.f == '%s' ? %s : ", r, f, plainAll([]string{pod}, []string{container}))
		}
	}
	return "(" + b.String() + "false)"
}

// plainAll joins what must hold for the Pod and for each container, each once.
func plainAll(pod, containers []string) string {
	join := func(all []string) string {
		slices.Sort(all)
		all = slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
		return strings.Join(all, " && ")
	}
	text, each := join(pod), join(containers)
	if each == "" {
		return text
	}
	if text != "" {
		text += " && "
	}
	return text + "cs.all(c, [c.?securityContext.orValue({})].all(k, " + each + "))"
}
