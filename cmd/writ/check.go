// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/manifest"
)

func newCheck(io stdio) *cobra.Command {
	k := manifestCheck{}
	c := &cobra.Command{
		Use:   "check -f FILE|DIR|-",
		Short: "Judge manifests as the cluster will",
		Long: `check judges Kubernetes manifests, in YAML or JSON, as a cluster with this policy judges them when they are applied: by the same objects of
Gatekeeper, with Gatekeeper's own engine, in process. Of a folder it reads .yaml, .yml and .json files, with all below; "-" is stdin. It needs
no cluster. The engine is the program writ-check, which stands beside writ or in PATH.

Each violation is reported at the line of the manifest that is at fault, with the rule, why it is there, and whom to ask. What the policy denies is
an error, what is in mode audit a warning, what is in mode learn a note. Objects that make no Pods are counted; those that no workload selects
are named, and are no failure.

With --krm it is a function of kustomize and kpt: it reads a ResourceList from stdin and writes it to stdout, the items as they are, with
results. Its functionConfig may give policy, cluster, at and namespace, as the flags do.

Exit codes: 0 all is admitted; 1 the policy denies something, or does not compile; 2 the input is at fault, whatever else was found,
or the work could not be done.`,
		Example: `  writ check -f deploy/
  writ check -f app.yaml -f jobs/ --policy ../policy --cluster production
  kustomize build overlays/production | writ check -f - --policy policy -o github
  writ check -f deploy/ -o sarif >writ.sarif
  writ check --krm <resources.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return k.run(c.Context(), io) },
	}
	c.Flags().StringArrayVarP(&k.files, "filename", "f", nil, "file or folder of manifests, or \"-\" (may be repeated)")
	_ = c.MarkFlagFilename("filename", "yaml", "yml", "json")
	c.Flags().StringVar(&k.policy, "policy", ".", "folder of the policy repository")
	_ = c.MarkFlagDirname("policy")
	c.Flags().StringVarP(&k.namespace, "namespace", "n", "default", "namespace of objects that name none")
	_ = c.RegisterFlagCompletionFunc("namespace", cobra.NoFileCompletions)
	c.Flags().BoolVar(&k.krm, "krm", false, "be a KRM function: a ResourceList from stdin to stdout")
	k.compile.register(c, "judge as of this day or instant (default: the stricter side of each date, as compile does)")
	k.out.register(c, outputText, outputJSON, outputSARIF, outputJUnit, outputGitHub)
	return c
}

// checkGC is the garbage collector's target (see GOGC) of check.
const checkGC = 100

// manifestCheck carries out writ check.
type manifestCheck struct {
	files     []string
	policy    string
	namespace string
	krm       bool
	compile   compileFlags
	out       outputFlag
}

func (k manifestCheck) run(ctx context.Context, io stdio) error {
	switch {
	case k.krm && len(k.files) > 0:
		return errors.New("check: --krm reads stdin; want no -f with it")
	case k.krm:
		return k.runKRM(ctx, io)
	case len(k.files) == 0:
		return hinted{errors.New("check: no manifests are named"), "name them with -f FILE, -f DIR or -f -"}
	}
	report, err := k.judge(ctx, io, func() (*checkInput, error) { return readManifests(io.in, k.files) })
	if err != nil {
		return err
	}
	if err := report.write(io, k.out); err != nil {
		return err
	}
	return report.verdict()
}

// verdict is how the command ends. Where the input is at fault, nobody knows whether all of it would be admitted.
func (r *checkReport) verdict() error {
	switch {
	case len(r.Problems) > 0:
		return fmt.Errorf("check: the input is at fault: %s, %d denied", plural(len(r.Problems), "problem"), r.Denied)
	case r.Denied > 0:
		return saysNo{fmt.Sprintf("%s of %d denied", plural(r.Denied, "object"), r.Judged)}
	}
	return nil
}

// judge reads the input and compiles the policy at the same time as the engine starts, and holds the one against the other.
func (k manifestCheck) judge(ctx context.Context, io stdio, read func() (*checkInput, error)) (*checkReport, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(checkGC) // the engine, beside this process, needs memory too
	}
	engine, err := startEngine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.stop()
	type inputs struct {
		*checkInput
		err error
	}
	in := make(chan inputs, 1)
	go func() {
		i, err := read()
		in <- inputs{i, err}
	}()
	res, root, err := k.compiled(ctx)
	got := <-in
	switch {
	case got.err != nil:
		return nil, got.err
	case err != nil:
		return nil, err
	}
	got.sort(makersOf(res.Admission()), k.namespace)
	objects, err := gatekeeperObjects(res.Bundle, got.namespaces())
	if err != nil {
		return nil, err
	}
	answers, err := engine.judge(ctx, objects, got.judged)
	if err != nil {
		return nil, err
	}
	report := newCheckReport(got.checkInput, root)
	cover := newCoverage(res.Selectors())
	for i, o := range got.judged {
		report.add(o, answers[i], res.Bundle)
		if !cover.selects(o.pod) {
			report.Uncovered = append(report.Uncovered, o.ref())
		}
	}
	report.sort()
	if report.Denied > 0 {
		warnOfDates(io, res)
	}
	return report, nil
}

// makersOf are the kinds that make Pods: those of Kubernetes, and those that the policy names.
func makersOf(a schema.Admission) manifest.Makers {
	makers := manifest.Builtin()
	for _, m := range a.Makers {
		group, kind := m.GroupKind()
		makers[manifest.Kind{Group: group, Kind: kind}] = m.Fields()
	}
	return makers
}

// compiled compiles the policy for the cluster, with the objects of Gatekeeper.
func (k manifestCheck) compiled(ctx context.Context) (*compiler.Result, string, error) {
	at, err := k.compile.given()
	if err != nil {
		return nil, "", err
	}
	cfg := k.compile.config()
	cfg.At, cfg.Admission = at, schema.AdmissionGatekeeper // whatever enforces in the cluster
	res, root, err := compileDir(ctx, k.policy, cfg)
	if without := (hinted{}); errors.As(err, &without) { // whoever checks manifests has a policy, elsewhere
		err = hinted{without.err, "name the folder of the policy repository with --policy"}
	}
	return res, root, err
}

// sort brings what was found into the order of the files.
func (r *checkReport) sort() {
	slices.SortStableFunc(r.Findings, func(a, b checkFinding) int { return a.Pos.Compare(b.Pos) })
	slices.SortStableFunc(r.Problems, func(a, b compiler.Diagnostic) int { return a.Pos.Compare(b.Pos) })
}
