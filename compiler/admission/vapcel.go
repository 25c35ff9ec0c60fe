// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	texttemplate "text/template"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// podCEL judges a Pod; see there.
//
//go:embed pod.cel
var podCEL string

// celExpression is one expression of a ValidatingAdmissionPolicy.
type celExpression struct{ name, text string }

// celExpressions returns the expressions of pod.cel for kinds that make Pods, in the order in which they are written.
func celExpressions(makers manifest.Makers) []celExpression {
	return celSections(podCEL, celFuncs(makers))
}

// celSections reads a Go template of expressions.
func celSections(text string, funcs texttemplate.FuncMap) []celExpression {
	var b strings.Builder
	if err := texttemplate.Must(texttemplate.New("cel").Funcs(funcs).Parse(text)).Execute(&b, nil); err != nil {
		panic(err) // it takes no input: a test would have seen it
	}
	var all []celExpression
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSpace(line)
		name, begins := strings.CutPrefix(line, "== ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case begins:
			all = append(all, celExpression{name: name})
		case all[len(all)-1].text == "" || strings.HasPrefix(line, "."):
			all[len(all)-1].text += line
		default:
			all[len(all)-1].text += " " + line
		}
	}
	return all
}

// celFuncs are the words of pod.cel: each writes an expression over the ones that it is given. x is an object unless its comment says otherwise.
func celFuncs(makers manifest.Makers) texttemplate.FuncMap {
	return texttemplate.FuncMap{
		"pods": func(x string) string { return celPods(makers, x) },
		"obj":  func(x, name string) string { return celTyped(x, name, "map", "dyn({})") },
		"text": func(x, name string) string { return celTyped(x, name, "string", "''") },
		"flag": func(x, name, or string) string { return celTyped(x, name, "bool", or) },
		"says": func(x, name, kind string) string { return celSays(x, name, kind, "") },
		"profile": func(x, name string) string {
			return fmt.Sprintf("[%s].map(o, %s)[0]", x, celSays("o", name, "map", celTyped("o."+name, "type", "string", "''")))
		},
		"objects":    celObjects,
		"texts":      func(x, name string) string { return celTyped(x, name, "list", "[]") + ".filter(e, type(e) == string)" },
		"number":     celNumber,
		"userOrRole": celUserOrRole,
		"isHost":     func(image string) string { return image + `.matches('^(?:[^/]*[.:A-Z][^/]*|localhost)/')` },
		"hosted":     func() string { return celString("^" + hostPattern + "/" + namePattern) },
		"unhosted":   func() string { return celString("^" + namePattern) },
		"names": func(w, x string) string {
			return fmt.Sprintf("(!has(%[1]s.c) || %[2]s.n != '' && %[2]s.n.matches(%[1]s.c))", w, x)
		},
		"selects":  func(w string) string { return celSelects(w, "variables.labels", "variables.pairs") },
		"matches":  celMatches,
		"values":   celValues,
		"permits":  celPermits,
		"forbids":  celForbids,
		"profiles": celProfiles,
		"quote":    celQuote,
		"shown":    func(s string) string { return fmt.Sprintf("(%[1]s == '' ? 'unset' : %[2]s)", s, celQuote(s)) },
		"each":     celEach,
		"listed": func(r string) string {
			return fmt.Sprintf("(has(%[1]s.v) && size(%[1]s.v) > 0 ? %[2]s : 'none')", r, celEach(r+".v"))
		},
		"whose": func(name string) string {
			return fmt.Sprintf("(%[1]s == '' ? 'Pod' : 'container ' + %[2]s)", name, celQuote(name))
		},
		"stated":    celStated,
		"reference": func() string { return "'; write it as registry/path:tag or registry/path@sha256:...'" },
		"places":    celPlaces,
		"flat":      celFlat,
		"control": func() string {
			return `[\\x00-\\x1f\\x7f-\\x9f\\x{2028}\\x{2029}\\x{200e}\\x{200f}\\x{202a}-\\x{202e}\\x{2066}-\\x{2069}]`
		},
		"unmasked":       func() string { return schema.UnmaskedInUserNamespace },
		"maxContainers":  func() int { return manifest.MaxContainers },
		"appArmorPrefix": func() string { return "container.apparmor.security.beta.kubernetes.io/" },
	}
}

// The grammar of references, as schema.ParseImage has it.
const (
	hostPattern = `(?:(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*)(?::[0-9]{1,5})?|\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?)`
	nameSegment = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	namePattern = nameSegment + `(?:/` + nameSegment + `)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?$`
)

// celString writes a string literal.
func celString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`).Replace(s) + "'"
}

func celStrings(values []string) string {
	literals := make([]string, len(values))
	for i, v := range values {
		literals[i] = celString(v)
	}
	return "[" + strings.Join(literals, ", ") + "]"
}

// celTyped is a field if it is of a type, else something else.
func celTyped(x, name, kind, or string) string {
	if !strings.ContainsAny(x, "(") {
		return fmt.Sprintf("(has(%[1]s.%[2]s) && type(%[1]s.%[2]s) == %[3]s ? %[1]s.%[2]s : %[4]s)", x, name, kind, or)
	}
	return fmt.Sprintf("[%s].map(q, %s)[0]", x, celTyped("q", name, kind, or))
}

// celSays is a list of the field, or of what is made of it, if it is of a type, else an empty list.
func celSays(x, name, kind, made string) string {
	if strings.ContainsAny(x, "(") {
		return fmt.Sprintf("[%s].map(q, %s)[0]", x, celSays("q", name, kind, made))
	}
	field := x + "." + name
	if made == "" {
		made = field
	}
	return fmt.Sprintf("(has(%[1]s) && type(%[1]s) == %[2]s ? [%[3]s] : [])", field, kind, made)
}

func celObjects(x, name string) string {
	return celTyped(x, name, "list", "[]") + ".filter(e, type(e) == map)"
}

// celNumber is a whole number in decimal, or ”.
func celNumber(x, name string) string {
	f := x + "." + name
	return fmt.Sprintf("(!has(%[1]s) ? '' : type(%[1]s) == int ? string(%[1]s) : type(%[1]s) == double && %[1]s > -9.2e18 && %[1]s < 9.2e18 && "+
		"double(int(%[1]s)) == %[1]s ? string(int(%[1]s)) : '')", f)
}

func celUserOrRole(x string) string {
	return celTyped(x, "user", "string", "''") + " != '' || " + celTyped(x, "role", "string", "''") + " != ''"
}

// celPods is a list of the Pod that an object is or makes; of an object without a template it is empty.
func celPods(makers manifest.Makers, x string) string {
	kindsOf := map[string][]string{}
	for kind, path := range makers {
		key := strings.Join(path, ".")
		kindsOf[key] = append(kindsOf[key], kind.Group+"/"+kind.Kind)
	}
	text := fmt.Sprintf("(request.kind.group + '/' + request.kind.kind == '/Pod' ? [dyn(%s)]", x)
	for _, path := range slices.Sorted(maps.Keys(kindsOf)) {
		slices.Sort(kindsOf[path])
		text += fmt.Sprintf(" : request.kind.group + '/' + request.kind.kind in %s ? [dyn(%s)]", celStrings(kindsOf[path]), x)
		for field := range strings.SplitSeq(path, ".") {
			text += fmt.Sprintf(".filter(o, %[1]s in o && type(o[%[1]s]) == map).map(o, o[%[1]s])", celString(field))
		}
	}
	return text + " : [])"
}

// celSelects says whether the labels and conditions of w hold for a Pod with labels, which are pairs of "key=value" too. What w lacks holds.
func celSelects(w, labels, pairs string) string {
	there := fmt.Sprintf("(e.k in %[1]s && type(%[1]s[e.k]) == string)", labels)
	return fmt.Sprintf("(!has(%[1]s.l) || %[1]s.l.all(k, k in %[4]s)) && (!has(%[1]s.x) || %[1]s.x.all(e, "+
		"(!has(e.is) || %[2]s && %[3]s[e.k] in e.is) && (!has(e.not) || !(%[2]s && %[3]s[e.k] in e.not)) && "+
		"(!has(e.set) || e.set == %[2]s)))", w, there, labels, pairs)
}

// celMatches says whether the patterns of r match an image that parses.
func celMatches(r, x string) string {
	return fmt.Sprintf("(has(%[1]s.e) && [dyn(%[2]s.p), dyn(%[2]s.p + ':' + %[2]s.t), dyn(%[2]s.p + '@' + %[2]s.d), dyn(%[2]s.p + ':' + %[2]s.t + '@' + %[2]s.d)].exists(f, f in %[1]s.e) || "+
		"has(%[1]s.g) && %[2]s.p != '' && %[1]s.g.exists(y, (has(y.s) ? %[2]s.p.startsWith(y.s) && (!has(y.o) || !%[2]s.p.substring(size(y.s)).contains('/')) : %[2]s.p.matches(y.m)) && "+
		"(!has(y.t) || y.t == %[2]s.t) && (!has(y.d) || y.d == %[2]s.d || y.d == '*' && %[2]s.d != '')))", r, x)
}

// celFields lists the fields that have values; dropCapabilities is judged otherwise.
func celFields() []string {
	all := slices.Clone(schema.PodFields)
	for _, profile := range schema.Profiles {
		for _, r := range schema.ProfileRules(profile) {
			all = append(all, schema.PodField(r.Object))
		}
	}
	var fields []string
	for _, f := range all {
		if f != schema.PodDropCapabilities && !slices.Contains(fields, string(f)) {
			fields = append(fields, string(f))
		}
	}
	return fields
}

// ofPod are the fields that no container sets; see ofContainers in schema/manifest.
var ofPod = []string{
	string(schema.PodHostNetwork), string(schema.PodHostPID), string(schema.PodHostIPC), string(schema.PodAutomount),
	string(schema.PodServiceAccount), string(schema.PodVolumes), string(schema.PodHostPaths), string(schema.PodSysctls),
}

// celValues is the values of a field, whose name is an expression too. Only those that are asked for are computed.
func celValues(field string) string {
	var b strings.Builder
	b.WriteString("((")
	for _, f := range celFields() {
		fmt.Fprintf(&b, "%s == '%s' ? variables.%s : ", field, f, f)
	}
	fmt.Fprintf(&b, "dyn([])) + (variables.unread && !(%s in %s) ? dyn([[{'v': '%s', 'c': ''}]]) : dyn([])))", field, celStrings(ofPod), schema.Unread)
	return b.String()
}

func celPermits(r, x string) string {
	return fmt.Sprintf("(has(%[1]s.v) && %[2]s.v in %[1]s.v || has(%[1]s.m) && %[1]s.m.exists(m, %[2]s.v.matches(m)))", r, x)
}

func celForbids(r, x string) string {
	return fmt.Sprintf("(%[1]s || %[2]s.v == '%[3]s' || %[2]s.v == 'ALL' && %[4]s.f == 'addCapabilities' || has(%[2]s.u) && %[2]s.u)",
		celPermits(r, x), x, schema.Unread, r)
}

// celProfiles is a map of the levels of the Pod Security Standards. Where IDs begin is the order of their fields.
func celProfiles() string {
	var levels []string
	for _, profile := range schema.Profiles {
		var rules []string
		for i, r := range schema.ProfileRules(profile) {
			rules = append(rules, fmt.Sprintf("{'f': dyn('%s'), 'v': dyn(%s), 'o': dyn(%d)}", r.Object, celStrings(r.Values), 16*i))
		}
		levels = append(levels, fmt.Sprintf("'%s': [%s]", profile, strings.Join(rules, ", ")))
	}
	return "dyn({" + strings.Join(levels, ", ") + "})"
}

// celQuote is a string in quotes, cut at 200 characters.
func celQuote(s string) string {
	return fmt.Sprintf("strings.quote(size(%[1]s) > %[2]d ? %[1]s.substring(0, %[2]d) + '...' : %[1]s)", s, maxWords)
}

// celEach is a list of strings in words, cut at 10.
func celEach(l string) string {
	return fmt.Sprintf("([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter(i, i < size(%[1]s)).map(i, %[1]s[i] == '' ? 'unset' : %[2]s).join(', ') + "+
		"(size(%[1]s) > 10 ? ' and ' + string(size(%[1]s) - 10) + ' more' : ''))", l, celQuote(l+"[i]"))
}

// fieldPlaces says where the fields are set, in the words of messages.
var fieldPlaces = map[schema.PodField]string{
	schema.PodAddCapabilities:  "securityContext.capabilities.add",
	schema.PodEscalation:       "securityContext.allowPrivilegeEscalation",
	schema.PodAppArmor:         "securityContext.appArmorProfile",
	schema.PodAutomount:        "spec.automountServiceAccountToken",
	schema.PodDropCapabilities: "securityContext.capabilities.drop",
	schema.PodHostIPC:          "spec.hostIPC",
	schema.PodHostNetwork:      "spec.hostNetwork",
	schema.PodHostPID:          "spec.hostPID",
	schema.PodHostPaths:        "the hostPath in spec.volumes",
	schema.PodHostPorts:        "hostPort in the ports",
	schema.PodHostProcess:      "securityContext.windowsOptions.hostProcess",
	schema.PodPrivileged:       "securityContext.privileged",
	schema.PodProbeHosts:       "host in the probes and lifecycle hooks",
	schema.PodProcMount:        "securityContext.procMount",
	schema.PodReadOnlyRoot:     "securityContext.readOnlyRootFilesystem",
	schema.PodRootAllowed:      "securityContext.runAsNonRoot",
	schema.PodRootUser:         "securityContext.runAsUser",
	schema.PodNonRoot:          "securityContext.runAsNonRoot",
	schema.PodRunAsUser:        "securityContext.runAsUser",
	schema.PodSELinuxType:      "securityContext.seLinuxOptions.type",
	schema.PodSELinuxUserRole:  "user and role in securityContext.seLinuxOptions",
	schema.PodSeccomp:          "securityContext.seccompProfile",
	schema.PodServiceAccount:   "spec.serviceAccountName",
	schema.PodSysctls:          "securityContext.sysctls",
	schema.PodVolumes:          "spec.volumes",
}

func celPlaces() string {
	var entries []string
	for _, field := range slices.Sorted(maps.Keys(fieldPlaces)) {
		entries = append(entries, celString(string(field))+": "+celString(fieldPlaces[field]))
	}
	return "{" + strings.Join(entries, ", ") + "}"
}

// celStated says where a rule stands and why.
func celStated(kind, w, r string) string {
	return fmt.Sprintf("'; %[1]s ' + %[2]s.n + (has(%[2]s.o) ? ' (owner ' + %[2]s.o + ')' : '') + ', rule ' + %[3]s.i + (has(%[3]s.at) ? ' at ' + %[3]s.at : '') + "+
		"(has(%[3]s.y) ? '; why: ' + %[3]s.y : '')", kind, w, r)
}

// celFlat joins lists of lists of strings.
func celFlat(x string, depth int) string {
	if depth == 0 {
		return x + ".join(' | ')"
	}
	return fmt.Sprintf("%s.map(a, %s).filter(s, s != '').join(' | ')", x, celFlat("a", depth-1))
}
