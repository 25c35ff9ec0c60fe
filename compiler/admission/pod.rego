package writpod

# The containers' images and the fields of a Pod, or of the template of one, judged as schema.Judge judges them (schema/judge.go,
# schema/condition.go, schema/bound.go) with the values that package schema/manifest reads. Data is in the parameters alone: this text is the
# same for every policy. The compiler adds "profiles" to it, what each level of the Pod Security Standards permits of each field.
#
# parameters.makers lists the kinds that make Pods: a line break, group/kind, a tab and the path of the template for each. parameters.sections holds
# strings too: a string costs nothing until it is read, and one review reads those of its own namespace only.
# The key of a section is
#
#   <namespace>                  all of a namespace, or, for a namespace of many workloads,
#   <namespace>/                 those that name no label, and
#   <namespace>/<key>=<value>    those that name this label, among others
#
# with "*" as the namespace of what names none. A section that ends in "/" is there for each namespace that has others with a label. A section
# begins with the SHA-256 of its other text, which is lines: a label that the entry names, as <key>=<value>, or nothing; a tab; and the entry.
# Lines are found by their label, so that most of them are not parsed. All entries select:
#
#   l {label: value} that the Pod must have, x {key: {in, notIn, exists}} conditions on its labels,
#   k "^regexp$" over the names of the containers that it is about; without it, all, and the Pod.
#
# An entry of a workload has "n", one of a bound "b", and one that has neither is a workload that is only known to select something:
#
#   n name, o owner, i condition on images, p conditions on the Pod
#     i: c rule ID, a file:line
#        e {"host/path": [[tag, digest], ...]} exact images,
#        d [["host/dir/", tag, digest], ...]   everything below a path,
#        r [["^host/regexp$", tag, digest], ...] other patterns; an empty tag or digest matches any, the digest "*" each but none
#     p: p profile, a file:line of it
#        s [rule, ...]: i ID, f field, v values, g regular expressions over values, t the patterns that they are of, a file:line, w why
#   b name, o owner, w why, z whether it is about every Pod, q [ID, file:line] if it demands a workload,
#     i [rule, ...] forbidden images: i ID, a file:line, w why, and one entry of e, d or r as above
#     p [rule, ...] forbidden values, as in s; of hostPaths g is over the directories that a mount would expose

default namespace := ""

namespace := input.review.namespace if is_string(input.review.namespace)

default root := {}

root := input.review.object if is_object(input.review.object)

kind := [object.get(input.review, ["kind", "group"], ""), object.get(input.review, ["kind", "kind"], "Pod")]

path := [] if kind == ["", "Pod"]

path := split(substring(parts[1], 0, indexof(parts[1], "\n")), ".") if {
	kind != ["", "Pod"]
	parts := split(input.parameters.makers, concat("", ["\n", kind[0], "/", kind[1], "\t"]))
}

pod := found if {
	found := object.get(root, path, null)
	is_object(found)
}

metadata := sub(pod, "metadata")

spec := sub(pod, "spec")

security := sub(spec, "securityContext")

written := sub(metadata, "labels")

labels := {k: v | some k, v in written; is_string(v)}

# raw are the containers as they are written, and refs their images.
raw := [c |
	some k in ["containers", "initContainers", "ephemeralContainers"]
	is_array(spec[k])
	some c in spec[k]
	is_object(c)
]

refs := {object.get(c, "image", "") | some c in raw}

# Deletion is never denied. An update that changes nothing of the Pod is let through: a finalizer must stay removable, a Deployment scalable. Of
# what is being deleted annotations may change too, and nothing else: other labels would make another workload of what still runs. A review that
# names no operation, as of an object that is already there, is judged.
passed if input.review.operation == "DELETE"

passed if {
	input.review.operation == "UPDATE"
	old := object.get(input.review, ["oldObject"], null)
	was := object.get(old, path, null)
	object.get(was, "spec", null) == object.get(pod, "spec", null)
	object.get(was, ["metadata", "labels"], null) == object.get(pod, ["metadata", "labels"], null)
	notes_stay(was)
}

notes_stay(was) if object.get(was, ["metadata", "annotations"], null) == object.get(pod, ["metadata", "annotations"], null)

notes_stay(_) if _ = root.metadata.deletionTimestamp

# Without a Pod there is nothing to judge.
judging if {
	pod
	not passed
}

# Reading. What has the wrong type is not set.

sub(o, k) := v if {
	v := o[k]
	is_object(v)
} else := {}

list(o, k) := v if {
	v := o[k]
	is_array(v)
} else := []

text(o, k, otherwise) := v if {
	v := o[k]
	is_string(v)
} else := otherwise

words := {true: "true", false: "false"}

truth(o, k, otherwise) := object.get(words, [object.get(o, k, null)], otherwise)

# A whole number, in decimal. Its bounds are those of 64 bits.
number(o, k) := format_int(v, 10) if {
	v := o[k]
	is_number(v)
	v == floor(v)
	v >= -9223372036854775808
	v < 9223372036854775808
}

# Containers. With more than 1,000 no field of them is read: not_read stands for their values, which no rule of a workload permits and each of a
# bound forbids (schema/manifest).

all := [{"name": text(c, "name", ""), "image": text(c, "image", ""), "kind": k, "c": c, "s": sub(c, "securityContext")} |
	some k in ["containers", "initContainers", "ephemeralContainers"]
	some c in list(spec, k)
	is_object(c)
]

unread if count(raw) > 1000

read := all if not unread

read := [] if unread

not_read := "(not read)"

# The values of the fields, each with the name of its container, "" for the Pod.

windows if text(sub(spec, "os"), "name", "") == "windows"

user_namespace if spec.hostUsers == false

on_host_network if spec.hostNetwork == true

at.hostNetwork contains [truth(spec, "hostNetwork", "false"), ""]

at.hostPID contains [truth(spec, "hostPID", "false"), ""]

at.hostIPC contains [truth(spec, "hostIPC", "false"), ""]

at.automountServiceAccountToken contains [truth(spec, "automountServiceAccountToken", "true"), ""]

at.serviceAccount contains [name, ""] if {
	names := [n | some k in ["serviceAccountName", "serviceAccount"]; n := text(spec, k, ""); n != ""]
	name := array.concat(names, ["default"])[0]
}

at.privileged contains [truth(c.s, "privileged", "false"), c.name] if some c in read

at.allowPrivilegeEscalation contains [truth(c.s, "allowPrivilegeEscalation", "true"), c.name] if {
	not windows
	some c in read
}

at.readOnlyRootFilesystem contains [truth(c.s, "readOnlyRootFilesystem", "false"), c.name] if some c in read

at.runAsNonRoot contains [words[security.runAsNonRoot], ""]

at.runAsNonRoot contains [truth(c.s, "runAsNonRoot", truth(security, "runAsNonRoot", "false")), c.name] if some c in read

at.rootAllowed contains [root_word(v == "false"), c] if some [v, c] in (at.runAsNonRoot - unread_values)

at.runAsUser contains [number(security, "runAsUser"), ""]

at.runAsUser contains [user(c), c.name] if some c in read

at.rootUser contains [root_word(number(security, "runAsUser") == "0"), ""]

at.rootUser contains [root_word(user(c) == "0"), c.name] if some c in read

at.rootUser contains ["false", c.name] if {
	some c in read
	not user(c)
}

user(c) := number(c.s, "runAsUser")

user(c) := number(security, "runAsUser") if not number(c.s, "runAsUser")

root_word(is_root) := "true" if {
	is_root
	not user_namespace
} else := "false"

at.addCapabilities contains [v, c.name] if {
	not windows
	some c in read
	some written in list(sub(c.s, "capabilities"), "add")
	is_string(written)
	some v in [written, trim_prefix(upper(written), "CAP_")]
}

drops := [[c.name, {v | some v in list(sub(c.s, "capabilities"), "drop"); is_string(v)}] | some c in read]

says_drop if {
	not windows
	count(all) > 0
}

dropped := intersection(named) if {
	named := {d[1] | some d in drops; not "ALL" in d[1]}
	count(named) > 0
} else := union({d[1] | some d in drops})

at.dropCapabilities contains [v, ""] if {
	says_drop
	not unread
	some v in dropped
}

volumes := [v | some v in list(spec, "volumes"); is_object(v)]

volume_types(v) := {k | some k, t in v; k != "name"; is_object(t)}

at.volumes contains [k, ""] if {
	some v in volumes
	some k in volume_types(v)
}

at.volumes contains ["emptyDir", ""] if {
	some v in volumes
	count(volume_types(v)) == 0
}

at.hostPaths contains [text(v.hostPath, "path", ""), ""] if {
	some v in volumes
	is_object(v.hostPath)
}

at.hostPorts contains [port, c.name] if {
	some c in read
	some p in list(c.c, "ports")
	is_object(p)
	port := port_of(p)
	port != "0"
}

port_of(p) := number(p, "containerPort") if {
	on_host_network
	not taken(p)
} else := number(p, "hostPort")

taken(p) if number(p, "hostPort") != "0"

at.seccomp contains [confined(security, "seccompProfile"), ""] if not windows

at.seccomp contains [inherited(c, "seccompProfile"), c.name] if {
	not windows
	some c in read
}

# confined is undefined if there is no profile.
confined(s, k) := text(s[k], "type", "") if is_object(s[k])

# inherited is a container's own, else the Pod's.
inherited(c, k) := v if {
	v := confined(c.s, k)
} else := v if {
	v := confined(security, k)
} else := ""

at.appArmor contains [v, name] if {
	some name, v in annotated
}

at.appArmor contains [confined(security, "appArmorProfile"), ""]

at.appArmor contains [inherited(c, "appArmorProfile"), c.name] if {
	some c in read
	not annotation_holds(c)
}

annotation_holds(c) if {
	not confined(c.s, "appArmorProfile")
	not startswith(annotated[c.name], "annotation:")
	_ = annotated[c.name]
}

armor := "container.apparmor.security.beta.kubernetes.io/"

annotated := {substring(k, count(armor), -1): armor_type(v) |
	some k, v in sub(metadata, "annotations")
	startswith(k, armor)
	is_string(v)
	v != ""
}

armor_type("runtime/default") := "RuntimeDefault"

armor_type("unconfined") := "Unconfined"

armor_type(v) := "Localhost" if startswith(v, "localhost/")

armor_type(v) := concat("", ["annotation:", v]) if {
	not v in {"runtime/default", "unconfined"}
	not startswith(v, "localhost/")
}

at.sysctls contains [v, ""] if {
	some s in list(security, "sysctls")
	is_object(s)
	name := text(s, "name", "")
	some v in [name, dotted(name)]
}

dotted(name) := strings.replace_n({".": "/", "/": "."}, name) if regex.match(`^[^./]*/`, name)

dotted(name) := name if not regex.match(`^[^./]*/`, name)

at.hostProcess contains [words[sub(security, "windowsOptions").hostProcess], ""]

at.hostProcess contains [truth(sub(c.s, "windowsOptions"), "hostProcess", otherwise), c.name] if {
	otherwise := truth(sub(security, "windowsOptions"), "hostProcess", "false")
	some c in read
}

at.seLinuxType contains [confined(security, "seLinuxOptions"), ""]

at.seLinuxType contains [inherited(c, "seLinuxOptions"), c.name] if some c in read

at.seLinuxUserRole contains [user_or_role(security), ""] if is_object(security.seLinuxOptions)

at.seLinuxUserRole contains [user_or_role(c.s), c.name] if {
	some c in read
	is_object(c.s.seLinuxOptions)
}

at.seLinuxUserRole contains [user_or_role(security), c.name] if {
	some c in read
	not is_object(c.s.seLinuxOptions)
}

user_or_role(s) := "true" if {
	some k in ["user", "role"]
	text(sub(s, "seLinuxOptions"), k, "") != ""
} else := "false"

at.procMount contains [proc_mount(text(c.s, "procMount", "")), c.name] if some c in read

proc_mount("Unmasked") := "UnmaskedInUserNamespace" if user_namespace

proc_mount("Unmasked") := "Unmasked" if not user_namespace

proc_mount(v) := v if v != "Unmasked"

at.probeHosts contains [host, c.name] if {
	some c in read
	some handler in [
		sub(c.c, "livenessProbe"), sub(c.c, "readinessProbe"), sub(c.c, "startupProbe"),
		sub(sub(c.c, "lifecycle"), "postStart"), sub(sub(c.c, "lifecycle"), "preStop"),
	]
	some k in ["httpGet", "tcpSocket"]
	host := text(sub(handler, k), "host", "")
	host != ""
}

unread_values := {[not_read, ""] | unread}

at.privileged contains [not_read, ""] if unread

at.allowPrivilegeEscalation contains [not_read, ""] if unread

at.readOnlyRootFilesystem contains [not_read, ""] if unread

at.runAsNonRoot contains [not_read, ""] if unread

at.addCapabilities contains [not_read, ""] if unread

at.hostPorts contains [not_read, ""] if unread

at.seccomp contains [not_read, ""] if unread

at.appArmor contains [not_read, ""] if unread

at.runAsUser contains [not_read, ""] if unread

at.hostProcess contains [not_read, ""] if unread

at.seLinuxType contains [not_read, ""] if unread

at.seLinuxUserRole contains [not_read, ""] if unread

at.procMount contains [not_read, ""] if unread

at.probeHosts contains [not_read, ""] if unread

at.rootAllowed contains [not_read, ""] if unread

at.rootUser contains [not_read, ""] if unread

# The policy.

keys := array.concat(
	[ns | some ns in [namespace, "*"]; _ = input.parameters.sections[ns]],
	[key |
		some ns in [namespace, "*"]
		parted := concat("", [ns, "/"])
		_ = input.parameters.sections[parted]
		some key in array.concat([parted], [concat("", [parted, k, "=", v]) | some k, v in written])
		_ = input.parameters.sections[key]
	],
)

# bodies are the lines of the sections that are whole.
bodies := [body |
	some key in keys
	section := input.parameters.sections[key]
	body := substring(section, 64, -1)
	crypto.sha256(body) == substring(section, 0, 64)
]

# marks begin the lines of entries that may select the Pod. A label that is none may find what it should not, but never hides anything.
marks := array.concat(["\n\t"], [concat("", ["\n", k, "=", v, "\t"]) | some k, v in written])

# selected are the entries that may be about the Pod, some containers of it apart.
selected := [e |
	judging
	some body in bodies
	some mark in marks
	parts := split(body, mark)
	some i, part in parts
	i > 0
	e := json.unmarshal(substring(part, 0, indexof(part, "\n")))
	object.subset(written, object.get(e, "l", {}))
	meets(e)
]

meets(e) if not e.x

meets(e) if {
	labelled(e)
	every k, condition in e.x {
		holds(condition, k)
	}
}

# Labels are judged in Kubernetes alone (schema/match.go): of what has neither namespace nor labels, an absent one says nothing.
labelled(_) if namespace != ""

labelled(_) if labels != {}

# holds is schema.Expression.Holds.
holds(condition, k) if {
	within(condition, k)
	not excluded(condition, k)
	present(k) == object.get(condition, "exists", present(k))
}

within(condition, _) if not condition["in"]

within(condition, k) if labels[k] in condition["in"]

excluded(condition, k) if labels[k] in condition.notIn

present(k) if _ = labels[k]

else := false

# about says whether an entry that is selected is about a container, or, with an empty name, the Pod.
about(e, name) if {
	not e.z
	named(e, name)
}

about(e, name) if {
	e.z
	known(name)
}

named(e, _) if not e.k

named(e, name) if {
	name != ""
	regex.match(e.k, name)
}

known(_) if namespace != ""

known(name) if covered(name)

covered(name) if {
	some e in selected
	not e.b
	named(e, name)
}

# Images.

violation contains v if {
	some e in selected
	e.n
	condition := e.i
	count([1 | some ref in refs; not allowed(condition, ref)]) > 0
	bad := [c | some c in all; named(e, c.name); not allowed(condition, c.image)]
	some v in images(e, bad, {"i": condition.c, "a": object.get(condition, "a", "")}, "is allowed by no rule of image.from", "use an image that the workload allows, or add this one there", "no-rule")
}

violation contains v if {
	some e in selected
	e.b
	some rule in e.i
	bad := [c | some c in all; about(e, c.name); forbidden(rule, c.image)]
	some v in images(e, bad, rule, "is forbidden", "use another image", "bound")
}

# images names ten containers; of the others there is one violation.
images(e, bad, rule, problem, todo, reason) := array.concat(
	[violated(e, rule, c.name, sprintf("container %q: image %q %s", [cut(c.name), cut(c.image), image_problem(c.image, problem)]), image_todo(c.image, todo), details) |
		some c in array.slice(bad, 0, 10)
		details := {"value": cut(c.image), "reason": image_reason(c.image, reason)}
	],
	[violated(e, rule, "", sprintf("%d more containers: their images are not allowed", [count(bad) - 10]), todo, {"reason": reason}) | count(bad) > 10],
)

image_problem(image, problem) := problem if parsed(image)

image_problem(image, _) := "is not an image reference" if not parsed(image)

image_todo(image, todo) := todo if parsed(image)

image_todo(image, _) := "write it as registry/path:tag or registry/path@sha256:..." if not parsed(image)

image_reason(image, reason) := reason if parsed(image)

image_reason(image, reason) := {"no-rule": "reference", "bound": "bound"}[reason] if not parsed(image)

violation contains v if {
	some e in selected
	[id, place] := e.q
	bad := [c.name | some c in all; about(e, c.name); not covered(c.name)]
	count(bad) > 0
	v := violated(
		e, {"i": id, "a": place}, bad[0], sprintf("%s: no workload of the policy selects it", [whose({n | some n in bad})]),
		"give the Pod the labels of a workload, or add a workload for it", {"reason": "require"},
	)
}

# Fields.

violation contains v if {
	some e in selected
	not e.k
	not standard[e.p.p]
	some field, bad in profile_bad(e.p.p)
	rule := {"i": profile_rule(e.n, field), "a": object.get(e.p, "a", "")}
	v := of_field(e, rule, field, bad, allowed_words(profiles[e.p.p][field]), {"reason": "field", "permitted": sprintf("by profile %s", [e.p.p])})
}

violation contains v if {
	some e in selected
	not e.k
	some rule in e.p.s
	bad := offending(rule)
	count(bad) > 0
	v := of_field(e, rule, rule.f, bad, listed(values_of(rule)), {"reason": "field", "permitted": ""})
}

violation contains v if {
	some e in selected
	e.b
	about(e, "")
	some rule in e.p
	bad := [pair | some pair in at[rule.f]; forbids(rule, pair[0])]
	count(bad) > 0
	v := violated(
		e, rule, bad[0][1], sprintf("%s: %s is %s, forbidden: %s", [whose(names_of(bad)), rule.f, listed(given(bad)), listed(values_of(rule))]),
		concat(" ", ["change", places[rule.f]]), {"field": rule.f, "value": cut(bad[0][0]), "reason": "bound"},
	)
}

# standard says at a glance of most Pods that keep to a level of the Pod Security Standards that they do. Of others, and of some that do, it says
# nothing: profile_bad decides.
standard.baseline if {
	not odd
	not odd_at.baseline
}

standard.restricted if {
	not odd
	not odd_at.restricted
	not less_than_restricted
	count([1 | some c in raw; object.subset(c, {"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})]) == count(raw)
	all_non_root
	all_seccomp
}

odd if unread

odd if true in object.filter(spec, ["hostNetwork", "hostPID", "hostIPC"])

odd if count(object.keys(security) & {"appArmorProfile", "seLinuxOptions", "sysctls", "windowsOptions"}) > 0

odd if strings.any_prefix_match(object.keys(metadata.annotations), armor)

odd if spec.volumes[_].hostPath

odd if raw[_].ports[_].hostPort

odd if {
	some k in ["livenessProbe", "readinessProbe", "startupProbe"]
	_ = raw[_][k][_].host
}

odd if _ = raw[_].lifecycle[_][_].host

odd if raw[_].securityContext.privileged == true

odd if {
	some k in ["appArmorProfile", "procMount", "seLinuxOptions", "windowsOptions"]
	raw[_].securityContext[k]
}

odd_at[level] if {
	some level in ["baseline", "restricted"]
	some added in [a | a := raw[_].securityContext.capabilities.add[_]]
	not added in profiles[level].addCapabilities
}

odd_at[level] if {
	some level in ["baseline", "restricted"]
	some profile in array.concat([p | p := security.seccompProfile], [p | p := raw[_].securityContext.seccompProfile])
	not profile.type in profiles[level].seccomp
}

# What restricted demands beyond that.
less_than_restricted if security.runAsUser == 0

less_than_restricted if raw[_].securityContext.runAsUser == 0

less_than_restricted if raw[_].securityContext.runAsNonRoot == false

less_than_restricted if count(union({object.keys(v) | some v in spec.volumes}) - (profiles.restricted.volumes | {"name"})) > 0

all_non_root if security.runAsNonRoot == true

all_non_root if {
	not security.runAsNonRoot == false
	count([1 | raw[_].securityContext.runAsNonRoot == true]) == count(raw)
}

all_seccomp if security.seccompProfile.type in profiles.restricted.seccomp

all_seccomp if {
	not security.seccompProfile
	count([1 | raw[_].securityContext.seccompProfile]) == count(raw)
}

# profile_bad returns what a level of the Pod Security Standards does not permit, by field.
profile_bad(profile) := {field: bad |
	some field, permitted in profiles[profile]
	bad := unpermitted(field, permitted)
	count(bad) > 0
}

unpermitted(field, permitted) := [pair | some pair in at[field]; not pair[0] in permitted] if field != "dropCapabilities"

unpermitted("dropCapabilities", demanded) := lacking(demanded)

# The IDs of rules that a profile brings are not stated: schema.NewRuleID makes them of names.
profile_rule(workload, field) := substring(crypto.sha256(concat("\u0000", ["rule", workload, "pod", "set", concat("/", ["profile", field]), ""])), 0, 16)

offending(rule) := [pair | some pair in at[rule.f]; not permits(rule, pair[0])] if rule.f != "dropCapabilities"

offending(rule) := lacking({v | some v in rule.v}) if rule.f == "dropCapabilities"

# lacking returns [capability, container] for what is not dropped. With ALL, each is.
lacking(demanded) := [] if {
	says_drop
	not unread
	"ALL" in dropped
}

lacking(demanded) := [[name, d[0]] |
	some d in drops
	not "ALL" in d[1]
	some name in demanded
	not name in d[1]
] if {
	says_drop
	not unread
	not "ALL" in dropped
}

lacking(demanded) := [[name, ""] | some name in demanded] if {
	says_drop
	unread
}

permits(rule, value) if {
	value != not_read
	plain(rule.f, value) in rule.v
}

permits(rule, value) if {
	value != not_read
	some g in rule.g
	regex.match(g, plain(rule.f, value))
}

# Slashes at the end of a path of the host change nothing there.
plain("hostPaths", value) := trim_right(value, "/")

plain(field, value) := value if field != "hostPaths"

forbids(rule, value) if permits(rule, value)

# Doubt forbids: what was not read, and a path of the host that is not clean, may be any. "/" is not clean either.
forbids(rule, value) if {
	value == not_read
	count(values_of(rule)) > 0
}

forbids(rule, "ALL") if {
	rule.f == "addCapabilities"
	count(values_of(rule)) > 0
}

forbids(rule, value) if {
	rule.f == "hostPaths"
	count(values_of(rule)) > 0
	not clean(value)
}

# A clean path has no empty segment, and none that is "." or "..".
clean(value) if regex.match(`^(/([^./][^/]*|\.[^./][^/]*|\.\.[^/]+))+/*$`, value)

# What cannot be read is not allowed.
violation contains {"msg": msg, "details": {"reason": "damaged"}} if {
	count(bodies) < count(keys)
	not passed
	some key in keys
	section := object.get(input.parameters.sections, [key], null)
	not is_whole(section)
	msg := sprintf("the rules of section %q cannot be read; apply the policy again", [cut(key)])
}

is_whole(section) if crypto.sha256(substring(section, 64, -1)) == substring(section, 0, 64)

violation contains {"msg": "the rules cannot be read; apply the policy again", "details": {"reason": "damaged"}} if {
	not whole
	not passed
}

whole if {
	is_object(input.parameters.sections)
	readable_makers
}

readable_makers if kind == ["", "Pod"]

readable_makers if startswith(input.parameters.makers, "\n")

# Words.

violated(e, rule, container, what, todo, more) := {"msg": msg, "details": details} if {
	msg := sprintf("%s; %s%s, rule %s%s%s; %s", [what, title(e), owner(e), rule.i, place(rule), why(e, rule), todo])
	details := object.union(object.union({"rule": rule.i, "container": cut(container)}, more), who(e))
}

of_field(e, rule, field, bad, permitted, more) := violated(
	e, rule, bad[0][1], sprintf("%s: %s %s", [whose(names_of(bad)), field, field_problem(field, bad, permitted, more.permitted)]),
	concat("", ["change ", places[field], ", or the condition of the workload"]), {"field": field, "value": field_value(field, bad), "reason": more.reason},
)

# places says where a field is set.
places := {
	"addCapabilities": "securityContext.capabilities.add",
	"allowPrivilegeEscalation": "securityContext.allowPrivilegeEscalation",
	"appArmor": "securityContext.appArmorProfile",
	"automountServiceAccountToken": "spec.automountServiceAccountToken",
	"dropCapabilities": "securityContext.capabilities.drop",
	"hostIPC": "spec.hostIPC",
	"hostNetwork": "spec.hostNetwork",
	"hostPID": "spec.hostPID",
	"hostPaths": "the hostPath in spec.volumes",
	"hostPorts": "hostPort in the ports",
	"hostProcess": "securityContext.windowsOptions.hostProcess",
	"privileged": "securityContext.privileged",
	"probeHosts": "host in the probes and lifecycle hooks",
	"procMount": "securityContext.procMount",
	"readOnlyRootFilesystem": "securityContext.readOnlyRootFilesystem",
	"rootAllowed": "securityContext.runAsNonRoot",
	"rootUser": "securityContext.runAsUser",
	"runAsNonRoot": "securityContext.runAsNonRoot",
	"runAsUser": "securityContext.runAsUser",
	"seLinuxType": "securityContext.seLinuxOptions.type",
	"seLinuxUserRole": "user and role in securityContext.seLinuxOptions",
	"seccomp": "securityContext.seccompProfile",
	"serviceAccount": "spec.serviceAccountName",
	"sysctls": "securityContext.sysctls",
	"volumes": "spec.volumes",
}

field_value(field, bad) := cut(bad[0][0]) if field != "dropCapabilities"

field_value("dropCapabilities", _) := ""

field_problem(field, bad, permitted, by) := sprintf("is %s, permitted%s: %s", [listed(given(bad)), by_words(by), permitted]) if field != "dropCapabilities"

field_problem("dropCapabilities", bad, _, by) := sprintf("lacks %s, demanded%s", [listed(given(bad)), by_words(by)])

by_words("") := ""

by_words(by) := concat("", [" ", by]) if by != ""

allowed_words(values) := listed([v | some v in values])

values_of(rule) := array.concat(object.get(rule, "v", []), object.get(rule, "t", []))

given(bad) := {pair[0] | some pair in bad}

names_of(bad) := {pair[1] | some pair in bad}

whose(names) := "Pod" if "" in names

whose(names) := sprintf("container %s", [listed(names)]) if {
	not "" in names
	count(names) == 1
}

whose(names) := sprintf("containers %s", [listed(names)]) if {
	not "" in names
	count(names) > 1
}

# listed shows ten values.
listed(values) := "none" if count(values) == 0

listed(values) := concat("", [concat(", ", array.slice(shown, 0, 10)), more(count(shown) - 10)]) if {
	count(values) > 0
	shown := [shown_value(v) | some v in values]
}

shown_value("") := "unset"

shown_value("(not read)") := "not read, because there are more than 1,000 containers"

shown_value(v) := sprintf("%q", [cut(v)]) if not v in {"", not_read}

more(n) := "" if n <= 0

more(n) := sprintf(" and %d more", [n]) if n > 0

cut(s) := s if count(s) <= 200

cut(s) := concat("", [substring(s, 0, 200), "..."]) if count(s) > 200

title(e) := concat(" ", ["workload", e.n])

title(e) := concat(" ", ["bound", e.b])

who(e) := {"workload": e.n}

who(e) := {"bound": e.b}

owner(e) := sprintf(" (owner %s)", [e.o]) if e.o

owner(e) := "" if not e.o

place(rule) := concat(" ", [" at", rule.a]) if object.get(rule, "a", "") != ""

place(rule) := "" if object.get(rule, "a", "") == ""

why(_, rule) := concat(" ", ["; why:", rule.w]) if rule.w

why(e, rule) := concat(" ", ["; why:", e.w]) if {
	not rule.w
	e.w
}

why(e, rule) := "" if {
	not rule.w
	not e.w
}

# Images, as schema/image.go reads them.

allowed(condition, image) if {
	i := parsed(image)
	some [tag, digest] in condition.e[i.name]
	fits(i, tag, digest)
}

allowed(condition, image) if {
	i := parsed(image)
	some [dir, tag, digest] in condition.d
	startswith(i.name, dir)
	fits(i, tag, digest)
}

allowed(condition, image) if {
	i := parsed(image)
	some [pattern, tag, digest] in condition.r
	regex.match(pattern, i.name)
	fits(i, tag, digest)
}

# A reference that does not parse may be any.
forbidden(_, image) if not parsed(image)

forbidden(rule, image) if allowed(rule, image)

fits(i, tag, digest) if {
	tag in ["", i.tag]
	digest in ["", i.digest]
}

# Any digest, but one there must be.
fits(i, tag, "*") if {
	tag in ["", i.tag]
	i.digest != ""
}

# parsed is schema.ParseImage: undefined for what is not a reference. The first segment is the registry if it could not be a name on Docker Hub.
parsed(image) := {"name": full_name(registry, dirs, hub), "tag": default_tag(tag, digest), "digest": digest} if {
	count(image) <= 512
	[_, registry, dirs, hub, tag, digest] := regex.find_all_string_submatch_n(reference, image, 1)[0]
}

# A registry and segments, or segments on Docker Hub, of which the first has no dot if there are more; a tag; a digest.
reference := `^(?:(localhost(?::[0-9]{1,5})?|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+(?::[0-9]{1,5})?|[a-zA-Z0-9-]+:[0-9]{1,5}|[a-zA-Z0-9-]*[A-Z][a-zA-Z0-9-]*|\[[0-9a-fA-F:]*[A-F:][0-9a-fA-F:]*\](?::[0-9]{1,5})?|\[[0-9a-f]+\]:[0-9]{1,5})/([a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)|([a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*|[a-z0-9]+(?:(?:_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+))(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?$`

full_name(registry, dirs, "") := concat("/", [lower(registry), dirs]) if not lower(registry) in {"docker.io", "index.docker.io"}

full_name(registry, dirs, "") := hub_name(dirs) if lower(registry) in {"docker.io", "index.docker.io"}

full_name("", _, hub) := hub_name(hub) if hub != ""

hub_name(name) := concat("", ["docker.io/", name]) if contains(name, "/")

hub_name(name) := concat("", ["docker.io/library/", name]) if not contains(name, "/")

default_tag(written, digest) := "latest" if {
	written == ""
	digest == ""
}

default_tag(written, _) := written if written != ""

default_tag("", digest) := "" if digest != ""
