// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/writ-sec/writ/cmd/checkwire"
	"github.com/writ-sec/writ/compiler/kubeyaml"
	"github.com/writ-sec/writ/schema/bundle"
)

// engineVariable names the program to start in place of writ-check. Tests set it.
const engineVariable = "WRIT_CHECK_BIN"

// helloTime is how long the program may take to begin. It loads some tens of megabytes.
const helloTime = 60 * time.Second

// checkEngine is a running writ-check.
type checkEngine struct {
	program string
	cmd     *exec.Cmd
	in      io.WriteCloser
	replies *checkwire.Reader
	stderr  tail
	hello   chan error
	ended   bool
}

// tail keeps the end of what is written to it.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	t.data = t.data[max(0, len(t.data)-2000):]
	return len(p), nil
}

// findEngine returns the path of writ-check.
func findEngine() (string, error) {
	if p := os.Getenv(engineVariable); p != "" {
		return p, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "writ-check")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	p, err := exec.LookPath("writ-check")
	if err != nil {
		return "", hinted{errors.New("check: the program writ-check is neither beside writ nor in PATH"), engineHint}
	}
	return p, nil
}

const engineHint = "it is part of every release of writ, and make build makes it as bin/writ-check; put it beside writ"

// startEngine starts writ-check, and does not wait for it.
func startEngine(ctx context.Context) (*checkEngine, error) {
	program, err := findEngine()
	if err != nil {
		return nil, err
	}
	e := &checkEngine{program: program, cmd: exec.CommandContext(ctx, program), hello: make(chan error, 1)}
	e.cmd.Stderr = &e.stderr
	e.cmd.WaitDelay = 5 * time.Second
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, hinted{fmt.Errorf("check: start the engine: %w", err), engineHint}
	}
	e.replies = checkwire.NewReader(out)
	go func() { e.hello <- e.greet() }()
	return e, nil
}

// greet reads the first line, and holds the versions against each other.
func (e *checkEngine) greet() error {
	var h checkwire.Hello
	if err := e.replies.Read(&h); err != nil || h.Protocol == 0 {
		return hinted{fmt.Errorf("check: %s does not begin as writ-check does", printable(e.program)), engineHint}
	}
	if h.Protocol != checkwire.Protocol || version != "" && h.Version != "" && h.Version != version {
		return hinted{fmt.Errorf("check: %s is writ-check %s (protocol %d), and this is writ %s (protocol %d); want the same version of both",
			printable(e.program), printable(h.Version), h.Protocol, versionString(), checkwire.Protocol), engineHint}
	}
	return nil
}

// stop ends the program if it runs. It does nothing after judge.
func (e *checkEngine) stop() {
	if !e.ended {
		e.ended = true
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait()
	}
}

// judge puts the objects of the policy in force and reviews what is given. Answers are in the order of what was asked. It ends the engine.
func (e *checkEngine) judge(ctx context.Context, objects []json.RawMessage, asked []*checkObject) ([]checkwire.Reply, error) {
	select {
	case err := <-e.hello:
		if err != nil {
			return nil, err
		}
	case <-time.After(helloTime):
		return nil, hinted{fmt.Errorf("check: %s says nothing in %v", printable(e.program), helloTime), engineHint}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	sent := make(chan error, 1)
	go func() { sent <- e.send(objects, asked) }()
	answers, known, err := e.receive(len(asked))
	e.ended = true
	sendErr, waitErr := <-sent, e.cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case known < len(asked):
		why := strings.TrimSpace(string(e.stderr.data))
		return nil, fmt.Errorf("check: the engine ended after %d of %s: %w", known, plural(len(asked), "review"),
			errors.Join(sendErr, waitErr, errors.New(printableText(why))))
	}
	return answers, errors.Join(sendErr, waitErr)
}

// send writes all requests, and ends the engine's input.
func (e *checkEngine) send(objects []json.RawMessage, asked []*checkObject) error {
	defer e.in.Close()
	enc := json.NewEncoder(e.in)
	enc.SetEscapeHTML(false)
	for _, o := range objects {
		if err := enc.Encode(checkwire.Request{Object: o}); err != nil {
			return err
		}
	}
	for i, o := range asked {
		if err := enc.Encode(checkwire.Request{Review: &checkwire.Review{ID: i, Namespace: o.pod.Namespace, Object: o.json}}); err != nil {
			return err
		}
		o.json = nil
	}
	return nil
}

// receive reads replies until there are no more.
func (e *checkEngine) receive(n int) (answers []checkwire.Reply, known int, err error) {
	answers = make([]checkwire.Reply, n)
	done := make([]bool, n)
	var refused []error
	for {
		var r checkwire.Reply
		if err := e.replies.Read(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			_ = e.cmd.Process.Kill() // it may wait for us to read on
			return nil, known, fmt.Errorf("check: read the engine's answers: %w", err)
		}
		switch {
		case r.Refused != nil:
			refused = append(refused, fmt.Errorf("check: the engine refuses %s %s of the policy: %s",
				printable(r.Refused.Kind), printable(r.Refused.Name), printableText(r.Refused.Error)))
		case r.ID >= 0 && r.ID < n && !done[r.ID]:
			answers[r.ID], done[r.ID] = r, true
			known++
		}
	}
	return answers, known, errors.Join(refused...)
}

// gatekeeperObjects returns the objects of the policy that Gatekeeper judges by, templates first. Constraints that can match nothing in the given
// namespaces are left out: the engine takes time and memory for each.
func gatekeeperObjects(b *bundle.Bundle, namespaces []string) ([]json.RawMessage, error) {
	var templates, constraints []json.RawMessage
	for _, f := range b.Manifest.Files {
		if !strings.HasPrefix(f.Path, bundle.AdmissionDir+"/") || !strings.HasSuffix(f.Path, ".yaml") {
			continue
		}
		data, err := b.Open(f.Path)
		if err != nil {
			return nil, err
		}
		objects, problems := kubeyaml.Read(f.Path, data)
		if len(problems) > 0 || len(objects) != 1 {
			return nil, fmt.Errorf("check: %s of the bundle can't be read: %v", f.Path, problems)
		}
		o := objects[0]
		apiVersion, _ := o.Value["apiVersion"].(string)
		template := strings.HasPrefix(apiVersion, "templates.gatekeeper.sh/")
		if !template && (!strings.HasPrefix(apiVersion, "constraints.gatekeeper.sh/") || !sees(o.Value, namespaces)) {
			continue
		}
		text, err := o.JSON()
		if err != nil {
			return nil, fmt.Errorf("check: %s: %w", f.Path, err)
		}
		if template {
			templates = append(templates, text)
		} else {
			constraints = append(constraints, text)
		}
	}
	return slices.Concat(templates, constraints), nil
}

// sees says whether a constraint can match in one of the namespaces: what it names literally excludes, and a pattern may match any.
func sees(constraint map[string]any, namespaces []string) bool {
	spec, _ := constraint["spec"].(map[string]any)
	match, _ := spec["match"].(map[string]any)
	named, only := match["namespaces"].([]any)
	excluded, _ := match["excludedNamespaces"].([]any)
	has := func(list []any, namespace string) bool {
		return slices.ContainsFunc(list, func(v any) bool { return v == namespace })
	}
	pattern := slices.ContainsFunc(named, func(v any) bool { s, _ := v.(string); return strings.Contains(s, "*") })
	return slices.ContainsFunc(namespaces, func(n string) bool { return (!only || pattern || has(named, n)) && !has(excluded, n) })
}
