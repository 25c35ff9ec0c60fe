// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/compiler/kubeyaml"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

// maxManifests is what all files of one check may have, in bytes.
const maxManifests = 64 << 20

// checkInput is what is to be judged.
type checkInput struct {
	read     []*checkObject // and not sorted yet
	judged   []*checkObject
	problems []compiler.Diagnostic
	objects  int // all that were read
	skipped  map[string]int
}

// checkObject is an object, of those to be judged with the Pod that it is or makes.
type checkObject struct {
	kubeyaml.Object
	apiVersion, kind, name string
	metadata               map[string]any
	pod                    manifest.Pod
	json                   json.RawMessage
}

// objectRef names an object for people and programs.
type objectRef struct {
	File       string `json:"file"`
	Line       int    `json:"line,omitempty"`
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

func (o *checkObject) ref() objectRef {
	p := o.At(nil)
	return objectRef{p.File, p.Line, o.apiVersion, o.kind, o.pod.Namespace, o.name}
}

func (r objectRef) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

// namespaces are those of what is to be judged.
func (in *checkInput) namespaces() []string {
	var all []string
	for _, o := range in.judged {
		all = append(all, o.pod.Namespace)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// readManifests reads what -f names. What can't be read is a problem of the input, and the rest is read.
func readManifests(stdin io.Reader, args []string) (*checkInput, error) {
	var names []string
	in := &checkInput{skipped: map[string]int{}}
	for _, arg := range args {
		if arg == "-" {
			names = append(names, arg)
			continue
		}
		found, err := manifests(arg)
		if err != nil {
			in.fault(schema.Pos{File: arg}, "can't be read: "+reason(err), "")
			continue
		}
		names = append(names, found...)
	}
	b := &byteBudget{left: maxManifests}
	parts := make([]*checkInput, len(names))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() error {
			parts[i] = readManifest(stdin, name, b)
			return nil
		})
	}
	_ = g.Wait()
	for _, p := range parts {
		in.append(p)
	}
	if in.objects == 0 && len(in.problems) == 0 {
		in.fault(schema.Pos{File: strings.Join(args, ", ")}, "holds no Kubernetes object; want at least one", "")
	}
	return in, nil
}

func (in *checkInput) append(p *checkInput) {
	in.read, in.problems, in.objects = append(in.read, p.read...), append(in.problems, p.problems...), in.objects+p.objects
}

func (in *checkInput) fault(pos schema.Pos, msg, source string) {
	in.problems = append(in.problems, compiler.Diagnostic{Pos: pos, Msg: msg, Source: source})
}

// reason is the text of an error about a file without its name.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// byteBudget is how many bytes may yet be read.
type byteBudget struct {
	mu   sync.Mutex
	left int
}

func (b *byteBudget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return false
	}
	b.left -= n
	return true
}

// readManifest reads one file. Files of a folder may be read at the same time; stdin is one file of them.
func readManifest(stdin io.Reader, name string, b *byteBudget) *checkInput {
	in := &checkInput{}
	shown := filepath.ToSlash(filepath.Clean(name))
	r := stdin
	if name == "-" {
		shown = "stdin"
	} else {
		f, err := os.Open(name)
		if err != nil {
			in.fault(schema.Pos{File: shown}, "can't be read: "+reason(err), "")
			return in
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, kubeyaml.MaxFile+1))
	switch {
	case err != nil:
		in.fault(schema.Pos{File: shown}, "can't be read: "+reason(err), "")
	case !b.take(len(data)):
		in.fault(schema.Pos{File: shown}, fmt.Sprintf("is not read: all files have more than %d bytes; want fewer at once", maxManifests), "")
	default:
		objects, problems := kubeyaml.Read(shown, data)
		for _, p := range problems {
			in.fault(p.Pos, p.Msg, p.Source)
		}
		for _, o := range objects {
			in.add(o)
		}
	}
	return in
}

// add adds an object that was read.
func (in *checkInput) add(object kubeyaml.Object) {
	in.objects++
	o := &checkObject{Object: object}
	o.apiVersion, _ = object.Value["apiVersion"].(string)
	o.kind, _ = object.Value["kind"].(string)
	o.metadata, _ = object.Value["metadata"].(map[string]any)
	o.name, _ = o.metadata["name"].(string)
	o.pod.Namespace, _ = o.metadata["namespace"].(string)
	if generated, _ := o.metadata["generateName"].(string); o.name == "" && generated != "" {
		o.name = generated + "*"
	}
	if o.apiVersion == "" || o.kind == "" {
		p := object.At(nil)
		in.fault(p, "has no apiVersion or no kind; want both, as each Kubernetes object has them", object.Source(p))
		return
	}
	in.read = append(in.read, o)
}

// sort says of each object that was read whether it is to be judged. namespace is that of objects that name none.
func (in *checkInput) sort(makers manifest.Makers, namespace string) {
	for _, o := range in.read {
		if o.pod.Namespace == "" {
			o.pod.Namespace = namespace
		}
		pod, ok := makers.Of(o.Value, namespace)
		path, makes := makers[manifest.KindOf(o.Value)]
		switch {
		case !ok && makes:
			in.faultOf(o, anyPath(path), "is missing or no object; want the template of a Pod")
		case !ok:
			in.skipped[o.kind]++
		default:
			o.pod = pod
			in.prepare(o)
		}
	}
	in.read = nil
}

// prepare makes a review of an object.
func (in *checkInput) prepare(o *checkObject) {
	if !in.sound(o) {
		return
	}
	o.metadata["namespace"] = o.pod.Namespace // as an API server puts it there
	var err error
	if o.json, err = o.JSON(); err != nil {
		in.faultOf(o, nil, err.Error())
		return
	}
	in.judged = append(in.judged, o)
}

// sound notes what an API server would refuse of the Pod before it asks anybody.
func (in *checkInput) sound(o *checkObject) bool {
	if o.metadata == nil {
		in.faultOf(o, []any{"metadata"}, "is missing or no object; want the object's metadata")
		return false
	}
	problems := o.pod.Problems()
	for _, p := range problems {
		in.faultOf(o, slices.Concat(anyPath(o.pod.Path), p.Path), p.Msg)
	}
	return len(problems) == 0
}

// faultOf notes what is wrong at a path of an object.
func (in *checkInput) faultOf(o *checkObject, path []any, msg string) {
	p := o.At(path)
	in.problems = append(in.problems, compiler.Diagnostic{Pos: p, Path: o.ref().String(), Msg: strings.TrimSpace(manifest.FormatPath(path) + " " + msg),
		Source: o.Source(p)})
}

func anyPath(path []string) []any {
	all := make([]any, len(path))
	for i, p := range path {
		all[i] = p
	}
	return all
}
