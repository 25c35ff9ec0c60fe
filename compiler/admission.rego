package writimage

# The images of a Pod, judged as schema.Judge judges them (schema/judge.go, schema/image.go). Data is in the parameters alone: this
# text is the same for every policy. "sections" holds JSON strings, because a string costs nothing until it is read, and one review reads
# those of its own namespace only. A section is a list of workloads; its key is
#
#   <namespace>                  all workloads of a namespace, or, for a namespace of many workloads,
#   <namespace>/                 those that name no label, and
#   <namespace>/<key>=<value>    those that name this label, among others
#
# with "*" as the namespace of workloads that name none. A workload is
#
#   n name, o owner, c ID of the image closure, l labels that the Pod must have,
#   x {key: {in, notIn, exists}} conditions on the Pod's labels,
#   k "^regexp$" over the names of the containers that it judges; without it, all,
#   e {"host/path": [[tag, digest], ...]} exact images,
#   d [["host/dir/", tag, digest], ...]   everything below a path,
#   r [["^host/regexp$", tag, digest], ...] other patterns; an empty tag or digest matches any.

default namespace := ""

namespace := input.review.namespace

default labels := {}

labels := input.review.object.metadata.labels if is_object(input.review.object.metadata.labels)

keys contains key if {
	some ns in [namespace, "*"]
	some key in [ns, concat("", [ns, "/"])]
}

keys contains key if {
	some ns in [namespace, "*"]
	some k, v in labels
	key := concat("", [ns, "/", k, "=", v])
}

# sections holds the lists of workloads, by key. A section that is no such list is not in it.
sections[key] := list if {
	some key in keys
	list := json.unmarshal(input.parameters.sections[key])
	is_array(list)
	every w in list {
		well_formed(w)
	}
}

# What selects a workload and names it must be there: without it a workload would apply to no Pod. Of damaged images, none is allowed.
well_formed(w) if {
	is_object(w)
	is_string(w.n)
	is_string(w.c)
	is_object(w.l)
	every v in w.l {
		is_string(v)
	}
	x := object.get(w, "x", {})
	is_object(x)
	every condition in x {
		well_formed_condition(condition)
	}
	regex.is_valid(object.get(w, "k", ""))
}

# A condition that this text does not know would not be tested.
well_formed_condition(condition) if {
	is_object(condition)
	every field in object.keys(condition) {
		field in {"in", "notIn", "exists"}
	}
	every field in ["in", "notIn"] {
		values := object.get(condition, field, [])
		is_array(values)
		every v in values {
			is_string(v)
		}
	}
	is_boolean(object.get(condition, "exists", true))
}

workloads contains w if {
	some list in sections
	some w in list
	every k, v in w.l {
		labels[k] == v
	}
	x := object.get(w, "x", {})
	labelled(x)
	every k, condition in x {
		holds(condition, k)
	}
}

# Labels are judged in Kubernetes alone (schema/match.go): of what has neither namespace nor labels, an absent one says nothing.
labelled(x) if x == {}

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

# judges says whether a container is one of those that a workload selects. One without a name is none that a pattern names.
judges(w, _) if not w.k

judges(w, c) if {
	c.name != ""
	regex.match(w.k, c.name)
}

judges(_, c) if not is_string(c.name)

containers contains {"name": object.get(c, "name", ""), "image": object.get(c, "image", ""), "kind": kind} if {
	some kind in ["containers", "initContainers", "ephemeralContainers"]
	some c in input.review.object.spec[kind]
	not leaving(kind, c)
}

# A Pod that is being deleted must stay updatable, or its finalizers could never be removed. Only what it already runs is let through.
leaving(kind, c) if {
	input.review.object.metadata.deletionTimestamp
	some old in input.review.oldObject.spec[kind]
	old.name == c.name
	old.image == c.image
}

# Deletion is never denied. A review that names no operation, as of an object that is already there, is judged.
deletion if input.review.operation == "DELETE"

violation contains {"msg": msg, "details": details} if {
	not deletion
	some c in containers
	some w in workloads
	judges(w, c)
	not allowed(w, c.image)
	msg := sprintf("container %q: image %q %s; workload %s, rule %s%s; %s", [c.name, c.image, problem(c.image), w.n, w.c, owner(w), todo(c.image)])
	details := {"workload": w.n, "rule": w.c, "container": c.name, "image": c.image, "reason": reason(c.image)}
}

# What cannot be read is not allowed.
violation contains {"msg": msg, "details": {"reason": "damaged"}} if {
	not deletion
	some key in keys
	_ = input.parameters.sections[key]
	not sections[key]
	msg := sprintf("the rules of section %q cannot be read; apply the policy again", [key])
}

violation contains {"msg": "the rules cannot be read; apply the policy again", "details": {"reason": "damaged"}} if {
	not deletion
	not has_sections
}

has_sections if is_object(input.parameters.sections)

owner(w) := sprintf(", owner %s", [w.o]) if w.o

owner(w) := "" if not w.o

problem(image) := "is allowed by no rule of image.from" if parsed(image)

problem(image) := "is not an image reference" if not parsed(image)

todo(image) := "use an image that the workload allows, or add this one to it" if parsed(image)

todo(image) := "write it as registry/path:tag or registry/path@sha256:..." if not parsed(image)

reason(image) := "no-rule" if parsed(image)

reason(image) := "reference" if not parsed(image)

allowed(w, image) if {
	i := parsed(image)
	some [tag, digest] in w.e[i.name]
	fits(i, tag, digest)
}

allowed(w, image) if {
	i := parsed(image)
	some [dir, tag, digest] in w.d
	startswith(i.name, dir)
	fits(i, tag, digest)
}

allowed(w, image) if {
	i := parsed(image)
	some [pattern, tag, digest] in w.r
	regex.match(pattern, i.name)
	fits(i, tag, digest)
}

fits(i, tag, digest) if {
	tag in ["", i.tag]
	digest in ["", i.digest]
}

# parsed is schema.ParseImage: undefined for what is not a reference.
parsed(image) := {"name": concat("/", [host, path]), "tag": tag, "digest": digest} if {
	image != ""
	count(image) <= 512
	[rest, digest] := cut_digest(image)
	[name, written] := cut_tag(rest)
	[registry, path] := split_host(name)
	regex.match(`^(localhost|[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*)(:[0-9]{1,5})?$|^\[[0-9a-fA-F:]+\](:[0-9]{1,5})?$`, registry)
	host := lower(registry)
	every segment in split(path, "/") {
		regex.match(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`, segment)
	}
	tag := default_tag(written, digest)
}

cut_digest(image) := [image, ""] if indexof(image, "@") < 0

cut_digest(image) := [substring(image, 0, at), digest] if {
	at := indexof(image, "@")
	at >= 0
	digest := substring(image, at + 1, -1)
	regex.match(`^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$`, digest)
}

# A colon after the last slash begins a tag.
cut_tag(rest) := [rest, ""] if not contains(last_segment(rest), ":")

cut_tag(rest) := [substring(rest, 0, count(rest) - count(tag) - 1), tag] if {
	segment := last_segment(rest)
	contains(segment, ":")
	parts := split(segment, ":")
	tag := parts[count(parts) - 1]
	regex.match(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`, tag)
}

last_segment(rest) := segments[count(segments) - 1] if segments := split(rest, "/")

# The first segment is the registry if it could not be a name on Docker Hub.
split_host(name) := ["docker.io", hub_path(name)] if not names_registry(name)

split_host(name) := ["docker.io", hub_path(rest)] if {
	names_registry(name)
	[first, rest] := cut_slash(name)
	lower(first) in ["docker.io", "index.docker.io"]
}

split_host(name) := [first, rest] if {
	names_registry(name)
	[first, rest] := cut_slash(name)
	not lower(first) in ["docker.io", "index.docker.io"]
}

names_registry(name) if {
	[first, _] := cut_slash(name)
	like_registry(first)
}

like_registry(first) if contains(first, ".")

like_registry(first) if contains(first, ":")

like_registry(first) if first == "localhost"

like_registry(first) if first != lower(first)

cut_slash(name) := [substring(name, 0, at), substring(name, at + 1, -1)] if {
	at := indexof(name, "/")
	at >= 0
}

hub_path(path) := path if contains(path, "/")

hub_path(path) := concat("", ["library/", path]) if not contains(path, "/")

default_tag(written, digest) := "latest" if {
	written == ""
	digest == ""
}

default_tag(written, _) := written if written != ""

default_tag("", digest) := "" if digest != ""
