// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-sec/writ/schema"
)

// Programs of the demo. The example policy lists the first and not the second.
const (
	demoAllowed  = "/usr/bin/date"
	demoDenied   = "/usr/bin/id"
	demoWorkload = "payments-batch"
	demoCgroup   = "/writ-demo/payments"
)

func newDemo(io stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the whole circle on this host, and leave nothing behind",
		Long: `demo makes a policy repository from an example, puts it in force on this host, runs a process that the policy allows and one that
it does not, shows the line behind the denial, proposes the missing rule as a branch, merges it, and shows the same process run.

It needs root for the kernel's part; without, it says what it cannot show and shows the rest. Everything it makes is in a temporary folder, a
cgroup and a pin folder of its own, and is removed at the end.`,
		Example: "  sudo writ demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			return demo(ctx, io)
		},
	}
}

// demoRun is one run of the demo.
type demoRun struct {
	stdio
	style style
	self  string // this program
	dir   string // removed at the end
	repo  *demoRepo
	pins  string
	up    *demoUp
	step  int
}

func demo(ctx context.Context, io stdio) (err error) {
	d := &demoRun{stdio: io, style: styleFor(io.out)}
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "writ-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if err := os.Chmod(d.dir, 0o755); err != nil { // writ up reads the repository as another user
		return err
	}
	if err := d.makeRepository(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return d.withoutRoot(ctx)
	}
	return d.withRoot(ctx)
}

func (d *demoRun) title(text string) {
	d.step++
	fmt.Fprintf(d.out, "\n%s\n", d.style.bold(fmt.Sprintf("%d. %s", d.step, text)))
}

func (d *demoRun) say(format string, args ...any) {
	fmt.Fprintln(d.out, strings.TrimRight("   "+fmt.Sprintf(format, args...), " "))
}

func (d *demoRun) prompt(args ...string) { d.say("%s", d.style.dim("$ "+strings.Join(args, " "))) }

func (d *demoRun) makeRepository() (err error) {
	d.title("A policy repository, as a team keeps it")
	if d.repo, err = newDemoRepo(filepath.Join(d.dir, "policy")); err != nil {
		return err
	}
	d.say("%s, made from the example payments. Its rule of this demo, in shop/payments.cue:", d.repo.dir)
	excerpt, err := d.repo.excerpt("shop/payments.cue", demoWorkload)
	if err != nil {
		return err
	}
	fmt.Fprintln(d.out)
	for _, line := range excerpt {
		d.say("%s", line)
	}
	return nil
}

// withRoot shows the whole circle.
func (d *demoRun) withRoot(ctx context.Context) (err error) {
	cgroup, err := newDemoCgroup(demoCgroup)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cgroup.remove()) }()
	d.pins = filepath.Join("/sys/fs/bpf", filepath.Base(d.dir))
	defer func() { err = errors.Join(err, d.unload()) }() // before the folder with its state is removed
	if err := d.startUp(ctx, "--node-arg=--pin-dir="+d.pins, "--node-arg=--state="+filepath.Join(d.dir, "node")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.up.stop()) }()
	if _, err := d.showInForce(); err != nil {
		return err
	}
	d.title("A process that the policy allows")
	if err := d.runAllowed(ctx, cgroup, demoAllowed); err != nil {
		return err
	}
	d.title("A process that it does not")
	report, err := d.runDenied(ctx, cgroup)
	if err != nil {
		return err
	}
	d.title("Ask for the missing rule, as a commit on a branch")
	branch, err := d.propose(ctx, report.ID)
	if err != nil {
		return err
	}
	d.title("Review and merge it")
	if err := d.merge(branch); err != nil {
		return err
	}
	d.title("The same process again")
	if err := d.runAllowed(ctx, cgroup, demoDenied); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n%s\n", d.style.green("That is the circle: a rule in git, in force in the kernel, its denials explained, its gaps proposed."))
	d.say("Everything made here is being removed: %s, the cgroup %s and the pins in %s.", d.dir, demoCgroup, d.pins)
	return nil
}

// withoutRoot shows what needs no privilege, and names the rest.
func (d *demoRun) withoutRoot(ctx context.Context) (err error) {
	fmt.Fprintln(d.out)
	d.say("%s", d.style.red("Without root this cannot show: a process stopped by the kernel, its denial, and the rule proposed from it."))
	d.say("For all of it: sudo %s demo", d.self)
	if err := d.startUp(ctx, "--node", "none"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.up.stop()) }()
	first, err := d.showInForce()
	if err != nil {
		return err
	}
	d.title("A commit that is broken: the last good generation stays")
	heal, err := d.repo.breakFile("shop/payments.cue", "\t\t\"usr/bin/curl\": {}\n")
	if err != nil {
		return err
	}
	d.up.pull()
	broken, err := d.up.wait(func(e entry) bool { return e.Broken != nil })
	if err != nil {
		return err
	}
	d.say("%s", strings.ReplaceAll(broken.Broken.Error, "\n", "\n   "))
	d.title("The next commit heals it")
	if err := heal(); err != nil {
		return err
	}
	d.up.pull()
	again, err := d.showInForce()
	if err != nil {
		return err
	}
	if again.Digest != first.Digest {
		return fmt.Errorf("demo: the healed policy has the generation %s, the first had %s", again.Digest, first.Digest)
	}
	d.title("Which line says so?")
	where := "shop/payments.cue:" + fmt.Sprint(d.repo.lineOf("shop/payments.cue", demoAllowed))
	d.prompt("writ", "explain", where)
	return d.command(ctx, "explain", "--state", d.stateDir(), where)
}

func (d *demoRun) stateDir() string { return filepath.Join(d.dir, "state") }

// command runs this program and indents what it prints.
func (d *demoRun) command(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, d.self, args...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		d.say("%s", strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return fmt.Errorf("demo: writ %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (d *demoRun) startUp(ctx context.Context, args ...string) (err error) {
	d.title("Put it in force")
	address := "file://" + d.repo.dir
	if os.Geteuid() == 0 {
		d.prompt("sudo", "writ", "up", address)
	} else {
		d.prompt("writ", "up", "--node", "none", address)
	}
	all := append([]string{"up", "-o", "json", "--interval", "1h", "--state", d.stateDir()}, args...)
	d.up, err = startDemoUp(ctx, d.self, append(all, address)...)
	return err
}

func (d *demoRun) showInForce() (*inForce, error) {
	e, err := d.up.wait(func(e entry) bool { return e.InForce != nil })
	if err != nil {
		return nil, err
	}
	f := e.InForce
	d.say("in force after %.0f ms: generation %.12s, commit %.12s by %s", f.Millis.Total, f.Digest, f.Commit, f.Author)
	if d.pins == "" {
		return f, nil
	}
	b, err := d.up.wait(func(e entry) bool { return e.Backend != nil })
	if err != nil {
		return nil, err
	}
	how := "EPERM before the exec"
	if b.Backend.Name == "tracing" {
		how = "SIGKILL before the first instruction; this kernel does not load BPF LSM programs"
	}
	d.say("backend %s on Linux %s: %s", b.Backend.Name, b.Backend.Kernel, how)
	return f, nil
}

func (d *demoRun) runAllowed(ctx context.Context, cgroup *demoCgroupDir, program string) error {
	d.prompt(program, "   (in the cgroup", demoCgroup+")")
	out, err := cgroup.run(ctx, program)
	if err != nil {
		return fmt.Errorf("demo: %s should run in the cgroup %s: %w", program, demoCgroup, err)
	}
	d.say("%s", d.style.green(strings.TrimSpace(out)))
	return nil
}

func (d *demoRun) runDenied(ctx context.Context, cgroup *demoCgroupDir) (*reportEntry, error) {
	d.prompt(demoDenied, "   (in the same cgroup)")
	_, err := cgroup.run(ctx, demoDenied)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil, fmt.Errorf("demo: %s ran in the cgroup %s although no rule allows it", demoDenied, demoCgroup)
	case errors.Is(err, syscall.EPERM):
		d.say("%s", d.style.red("operation not permitted"))
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		d.say("%s", d.style.red("killed before its first instruction"))
	default:
		return nil, fmt.Errorf("demo: %s: %w", demoDenied, err)
	}
	e, err := d.up.wait(func(e entry) bool {
		return e.Report != nil && e.Report.Object == demoDenied && e.Report.Verdict.Action == schema.ActionDeny
	})
	if err != nil {
		return nil, err
	}
	r := e.Report
	if r.Rule == nil {
		return nil, fmt.Errorf("demo: the denial names the rule %s, which no rule table explains", r.Verdict.Rule)
	}
	fmt.Fprintln(d.out)
	d.say("event %s: pid %d, started by %s", r.ID, r.PID, printable(string(r.Parent)))
	d.say("denied by %s", d.style.bold(r.Rule.where()))
	d.say("          %s", r.Rule.headline())
	d.say("owner     %s", r.Rule.Owner)
	d.say("commit    %s", r.Rule.commit())
	return r, nil
}

func (d *demoRun) propose(ctx context.Context, event string) (branch string, err error) {
	d.prompt("writ", "learn", "propose", "--event", event)
	if err := d.command(ctx, "learn", "propose", "--state", d.stateDir(), "--event", event); err != nil {
		return "", err
	}
	return "writ/learn/" + demoWorkload, nil
}

func (d *demoRun) merge(branch string) error {
	d.prompt("git", "merge", "--ff-only", branch)
	if err := d.repo.merge(branch); err != nil {
		return err
	}
	d.up.pull()
	_, err := d.showInForce()
	return err
}

func (d *demoRun) unload() error {
	node, err := findNode()
	if err != nil {
		return err
	}
	out, err := exec.Command(node, "unload", "--pin-dir", d.pins, "--state", filepath.Join(d.dir, "node")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("demo: writ-node unload: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// demoUp is a running writ up.
type demoUp struct {
	cmd     *exec.Cmd
	entries chan entry
	stderr  strings.Builder
}

func startDemoUp(ctx context.Context, self string, args ...string) (*demoUp, error) {
	u := &demoUp{cmd: exec.CommandContext(ctx, self, args...), entries: make(chan entry, 1024)}
	u.cmd.Cancel = func() error { return u.cmd.Process.Signal(os.Interrupt) }
	u.cmd.Stderr = &u.stderr
	out, err := u.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := u.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(u.entries)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var e entry
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				u.entries <- e
			}
		}
	}()
	return u, nil
}

// wait returns the next entry that fits.
func (u *demoUp) wait(fits func(entry) bool) (entry, error) {
	deadline := time.After(20 * time.Second)
	for {
		select {
		case e, ok := <-u.entries:
			if !ok {
				return entry{}, fmt.Errorf("demo: writ up ended: %s", strings.TrimSpace(u.stderr.String()))
			}
			if fits(e) {
				return e, nil
			}
			if e.Broken != nil {
				return entry{}, fmt.Errorf("demo: writ up: %s", e.Broken.Error)
			}
		case <-deadline:
			return entry{}, errors.New("demo: writ up did not answer within 20 s")
		}
	}
}

func (u *demoUp) pull() { _ = u.cmd.Process.Signal(syscall.SIGHUP) }

func (u *demoUp) stop() error {
	_ = u.cmd.Process.Signal(os.Interrupt)
	for range u.entries { // drain, so that Wait does not hang on a full pipe
	}
	if err := u.cmd.Wait(); err != nil {
		return fmt.Errorf("demo: writ up: %w: %s", err, strings.TrimSpace(u.stderr.String()))
	}
	return nil
}
