// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// maxImage bounds a reference in bytes: 255 for the name (distribution/reference), 128 for a tag, the rest for a digest.
const maxImage = 512

// Image is a normalised image reference.
type Image struct {
	Host   string // lower case, with ":port" as written; "docker.io" if the reference names no registry
	Path   string // "library/nginx"; for docker.io a single name gets "library/"
	Tag    string // "latest" if the reference has neither tag nor digest
	Digest string // "sha256:…" or ""
}

// String returns the full form, which [ParseImage] reads back to the same Image.
func (i Image) String() string {
	s := i.Host + "/" + i.Path
	if i.Tag != "" {
		s += ":" + i.Tag
	}
	if i.Digest != "" {
		s += "@" + i.Digest
	}
	return s
}

// ImagePattern is a normalised image pattern: an [Image] in whose Path "*" stands for any run of bytes within a segment and "**"
// for any number of segments. An empty Host matches any registry, and the Path then begins with "**"; an empty Tag or Digest matches any.
// The Digest [AnyDigest] matches each one, and not a reference that has none.
type ImagePattern Image

// AnyDigest is the Digest of a pattern that wants one, whichever it is.
const AnyDigest = "*"

// String returns the full form, which [ParseImagePattern] reads back to the same pattern.
func (p ImagePattern) String() string {
	if p.Host == "" {
		return strings.TrimPrefix(Image(p).String(), "/")
	}
	return Image(p).String()
}

// The grammar is that of distribution/reference (https://github.com/distribution/reference, reference.go).
var (
	hostRE    = regexp.MustCompile(`^(localhost|[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*)(:[0-9]{1,5})?$|^\[[0-9a-fA-F:]+\](:[0-9]{1,5})?$`)
	segmentRE = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	globRE    = regexp.MustCompile(`^[a-z0-9._*-]+$`)
	tagRE     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestRE  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$`)
)

// ParseImage reads an image reference as a container runtime does: "nginx" is docker.io/library/nginx:latest, "index.docker.io" is
// docker.io, hosts are lower-cased. What does not parse is an error that says why.
func ParseImage(ref string) (Image, error) {
	i, err := parseReference(ref, segmentRE, "")
	if err != nil {
		return Image{}, err
	}
	if i.Tag == "" && i.Digest == "" {
		i.Tag = "latest"
	}
	return i, nil
}

// ParseImagePattern reads the key of an image rule. One whose first segment is "**" speaks of every registry.
func ParseImagePattern(pattern string) (ImagePattern, error) {
	i, err := parseReference(pattern, globRE, AnyDigest)
	if err != nil {
		return ImagePattern{}, err
	}
	for segment := range strings.SplitSeq(i.Path, "/") {
		if segment != "**" && strings.Contains(segment, "**") {
			return ImagePattern{}, errors.New("has \"**\" beside other characters in a segment; want it to stand alone between slashes, or one \"*\"")
		}
	}
	return ImagePattern(i), nil
}

// Matches reports whether the pattern matches a reference. Host and tag are compared literally, a digest in the pattern decides.
func (p ImagePattern) Matches(i Image) bool {
	return (p.Host == "" || p.Host == i.Host) && MatchPath("/"+p.Path, "/"+i.Path) &&
		(p.Tag == "" || p.Tag == i.Tag) && (p.Digest == "" || p.Digest == i.Digest || p.Digest == AnyDigest && i.Digest != "")
}

// parseReference reads a reference, or a pattern by what its segments and beside digests the digest may be.
func parseReference(ref string, segment *regexp.Regexp, digestToo string) (Image, error) {
	var i Image
	switch {
	case ref == "":
		return i, errors.New("is empty; want an image such as \"registry.example.com/team/app\"")
	case len(ref) > maxImage:
		return i, fmt.Errorf("has %d bytes; want at most %d", len(ref), maxImage)
	}
	rest, digest, hasDigest := strings.Cut(ref, "@")
	if i.Digest = digest; hasDigest && (digest == "" || digest != digestToo) && !digestRE.MatchString(digest) {
		return i, fmt.Errorf("has the digest %q; want \"sha256:\" and 64 lower-case hexadecimal digits", digest)
	}
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		rest, i.Tag = rest[:colon], rest[colon+1:]
		if !tagRE.MatchString(i.Tag) {
			return i, fmt.Errorf("has the tag %q; want letters, digits, \"_\", \".\" and \"-\", at most 128", i.Tag)
		}
	}
	i.Host, i.Path = splitHost(rest)
	if i.Host != "" && !hostRE.MatchString(i.Host) {
		return i, fmt.Errorf("has the registry %q; want a host name, with a port if need be", i.Host)
	}
	i.Host = strings.ToLower(i.Host)
	for s := range strings.SplitSeq(i.Path, "/") {
		if !segment.MatchString(s) {
			return i, fmt.Errorf("has the path segment %q; want lower-case letters and digits, separated by \".\", \"_\" or \"-\"", s)
		}
	}
	return i, nil
}

// splitHost takes the first segment as the registry if it could not be a name on Docker Hub. No registry is named where that is "**", which
// only a pattern may have.
func splitHost(name string) (host, path string) {
	first, rest, ok := strings.Cut(name, "/")
	if first == "**" {
		return "", name
	}
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" && first == strings.ToLower(first) {
		first, rest = "docker.io", name
	}
	if h := strings.ToLower(first); h == "index.docker.io" || h == "docker.io" {
		first = "docker.io"
		if !strings.Contains(rest, "/") && rest != "**" {
			rest = "library/" + rest
		}
	}
	return first, rest
}
