// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/testneed"
)

const paymentsFile = `package policy

// The payment service.
workload: payments: {
	match: namespace: "shop"
	mode: "audit"
	exec: {
		"/usr/bin/payments": {} // the service
	}
}
`

// remote is a bare repository and a person's clone of it, driven by git itself.
type remote struct {
	t    testing.TB
	bare string
	work string
}

func newRemote(t testing.TB, files map[string]string) *remote {
	t.Helper()
	testneed.Binary(t, "git", "install git")
	r := &remote{t, filepath.Join(t.TempDir(), "policy.git"), filepath.Join(t.TempDir(), "work")}
	r.run("", "init", "-q", "--bare", "-b", "main", r.bare)
	r.run("", "clone", "-q", r.bare, r.work)
	r.git("checkout", "-q", "-b", "main")
	for _, f := range repoOf(files).Files {
		r.write(f.Path, string(f.Data))
	}
	r.write("README.md", "# policy\n")
	r.commit("first")
	r.git("push", "-q", "origin", "main")
	return r
}

func (r *remote) run(dir string, args ...string) string {
	r.t.Helper()
	c := exec.Command("git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com", "GIT_AUTHOR_DATE=2026-11-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-11-01T00:00:00Z")
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r *remote) git(args ...string) string { r.t.Helper(); return r.run(r.work, args...) }

func (r *remote) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	writeTestFile(r.t, path, []byte(text))
}

func (r *remote) commit(message string) {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
}

// edit has a person change a branch of the remote.
func (r *remote) edit(branch string, change func()) {
	r.t.Helper()
	r.git("fetch", "-q", "origin")
	r.git("checkout", "-q", "-B", branch, "origin/"+branch)
	change()
	r.git("push", "-q", "origin", branch)
}

// at returns the commit of a revision in the bare repository, or "".
func (r *remote) at(rev string) string {
	out, _ := exec.Command("git", "-C", r.bare, "rev-parse", "-q", "--verify", rev).Output()
	return strings.TrimSpace(string(out))
}

func (r *remote) show(rev, file string) string {
	r.t.Helper()
	return r.run(r.bare, "show", rev+":"+file)
}

func (r *remote) propose(req Request) (*Outcome, error) {
	r.t.Helper()
	repo, err := NewRepository(Config{URL: "file://" + r.bare, TempDir: r.t.TempDir()})
	if err != nil {
		r.t.Fatal(err)
	}
	if req.Now.IsZero() {
		req.Now = noon.Add(time.Hour)
	}
	return repo.Propose(r.t.Context(), req)
}

// want proposes and returns the only result, which must have this status.
func (r *remote) want(status Status, req Request) Result {
	r.t.Helper()
	out, err := r.propose(req)
	if err != nil || len(out.Results) != 1 || out.Results[0].Status != status {
		r.t.Fatalf("Propose = %+v, %v; want one result that is %s", out, err, status)
	}
	return out.Results[0]
}

func audited(t testing.TB, objects ...string) Request {
	var reports []schema.Report
	for _, o := range objects {
		reports = append(reports, report("payments", schema.ActionAudit, o, "/usr/bin/dash"))
	}
	return Request{Observations: observed(t, reports...)}
}

const branchOf = "writ/learn/payments"

func TestRepositoryProposes(t *testing.T) {
	r := newRemote(t, map[string]string{"shop/payments.cue": paymentsFile})
	base := r.at("main")
	res := r.want(StatusPushed, audited(t, "/usr/bin/curl", "/usr/bin/zip"))
	if res.Branch != branchOf || res.Parent != base || r.at(branchOf) != res.Commit || r.at("main") != base || r.at(branchOf+"^") != base {
		t.Errorf("result %+v; the branch is at %s, its parent %s, main at %s", res, r.at(branchOf), r.at(branchOf+"^"), r.at("main"))
	}
	want := strings.Replace(paymentsFile, "\t\t\"/usr/bin/payments\": {} // the service\n", `		"/usr/bin/curl": {why: "seen once, from /usr/bin/dash"}
		"/usr/bin/payments": {} // the service
		"/usr/bin/zip": {why: "seen once, from /usr/bin/dash"}
`, 1)
	if got := r.show(branchOf, "shop/payments.cue"); got != want {
		t.Errorf("file:\n%s\nwant:\n%s", got, want)
	}
	if got := r.run(r.bare, "diff", "--stat", "main", branchOf); !strings.Contains(got, "1 file changed, 2 insertions(+)\n") {
		t.Errorf("changed:\n%s", got)
	}
	if got := r.run(r.bare, "log", "-1", "--format=%an <%ae> %ad|%cn|%s", "--date=iso-strict", branchOf); got !=
		"writ learn <writ-learn@localhost> 2026-11-24T13:00:00+00:00|writ learn|learn: allow 2 programs in payments\n" {
		t.Errorf("commit %q", got)
	}
	if got := r.run(r.bare, "log", "-1", "--format=%(trailers:key=Writ-Workload,valueonly)", branchOf); strings.TrimSpace(got) != "payments" {
		t.Errorf("trailers %q", got)
	}
	if got := r.run(r.bare, "diff", "main", branchOf, "--", "shop"); strings.TrimSpace(res.Diff) != strings.TrimSpace(got) && !strings.Contains(res.Diff, "+\t\t\"/usr/bin/curl\"") {
		t.Errorf("diff:\n%s\nwant:\n%s", res.Diff, got)
	}
	r.run(r.bare, "fsck", "--strict", "--full")
}

func TestRepositorySameEvidenceTwice(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	first := r.want(StatusPushed, audited(t, "/usr/bin/curl"))
	later := audited(t, "/usr/bin/curl")
	later.Now = noon.Add(100 * time.Hour)
	again := r.want(StatusPresent, later) // want makes a new Repository, as a restart does
	if r.at(branchOf) != first.Commit || again.Commit != first.Commit || again.Diff != "" {
		t.Errorf("the branch moved to %s; %+v", r.at(branchOf), again)
	}
	more := r.want(StatusPushed, audited(t, "/usr/bin/curl", "/usr/bin/zip"))
	if r.at(branchOf+"^") != first.Commit || len(more.Changes) != 1 || more.Changes[0].Object != "/usr/bin/zip" {
		t.Errorf("more evidence: %+v; want one commit on top with /usr/bin/zip", more)
	}
}

func TestRepositoryIsDeterministic(t *testing.T) {
	files := map[string]string{"payments.cue": paymentsFile}
	a, b := newRemote(t, files), newRemote(t, files)
	if x, y := a.want(StatusPushed, audited(t, "/b", "/a")), b.want(StatusPushed, audited(t, "/a", "/b")); x.Commit != y.Commit {
		t.Errorf("commits %s and %s; want the same", x.Commit, y.Commit)
	}
}

func TestRepositoryDryRun(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	req := audited(t, "/usr/bin/curl")
	req.DryRun = true
	res := r.want(StatusDryRun, req)
	if r.at(branchOf) != "" || !strings.Contains(res.Diff, "+\t\t\"/usr/bin/curl\": {why: \"seen once, from /usr/bin/dash\"}\n") || !strings.Contains(res.Message, "/usr/bin/curl") {
		t.Errorf("the branch is at %q, the diff:\n%s", r.at(branchOf), res.Diff)
	}
	req.DryRun = false
	if pushed := r.want(StatusPushed, req); pushed.Commit != res.Commit {
		t.Errorf("pushed %s; the dry run said %s", pushed.Commit, res.Commit)
	}
}

func TestRepositoryNothingMissing(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	if out, err := r.propose(audited(t, "/usr/bin/payments")); err != nil || len(out.Results) != 0 || out.Base != "main" || out.Commit != r.at("main") {
		t.Errorf("Propose = %+v, %v; want nothing against main", out, err)
	}
}

func TestRepositoryMerged(t *testing.T) {
	merge := map[string][]string{
		"fast-forward": {"merge", "-q", "--ff-only", "origin/" + branchOf},
		"merge":        {"merge", "-q", "--no-ff", "-m", "merge", "origin/" + branchOf},
		"squash":       {"merge", "-q", "--squash", "origin/" + branchOf},
	}
	for name, args := range merge {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
			first := r.want(StatusPushed, audited(t, "/usr/bin/curl"))
			r.edit("main", func() {
				r.git(args...)
				r.write("other.txt", "x")
				r.commit("go on")
			})
			if out, err := r.propose(audited(t, "/usr/bin/curl")); err != nil || len(out.Results) != 0 {
				t.Fatalf("after the merge: %+v, %v; want nothing", out, err)
			}
			res := r.want(StatusPushed, audited(t, "/usr/bin/curl", "/usr/bin/zip"))
			if res.Parent != r.at("main") || r.run(r.bare, "diff", "--name-only", "main", branchOf) != "payments.cue\n" {
				t.Errorf("%+v; want one file changed on top of main", res)
			}
			r.run(r.bare, "merge-base", "--is-ancestor", first.Commit, branchOf) // no force
			r.run(r.bare, "merge-base", "--is-ancestor", "main", branchOf)
		})
	}
}

func TestRepositoryKeepsAPersonsCommits(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	r.want(StatusPushed, audited(t, "/usr/bin/curl"))
	r.edit(branchOf, func() {
		r.write("payments.cue", strings.Replace(r.show(branchOf, "payments.cue"), "seen once, from /usr/bin/dash", "asked Bob: it is fine", 1))
		r.commit("say why")
	})
	person := r.at(branchOf)
	r.want(StatusPresent, audited(t, "/usr/bin/curl"))
	r.want(StatusPushed, audited(t, "/usr/bin/curl", "/usr/bin/zip"))
	if got := r.show(branchOf, "payments.cue"); r.at(branchOf+"^") != person || !strings.Contains(got, "asked Bob") || !strings.Contains(got, "zip") {
		t.Errorf("on %s there is\n%s", r.at(branchOf+"^"), got)
	}
}

func TestRepositoryRespectsAPersonsNo(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	r.want(StatusPushed, audited(t, "/usr/bin/curl", "/usr/bin/zip"))
	r.edit(branchOf, func() {
		var kept []string
		for line := range strings.Lines(r.show(branchOf, "payments.cue")) {
			if !strings.Contains(line, "zip") {
				kept = append(kept, line)
			}
		}
		r.write("payments.cue", strings.Join(kept, ""))
		r.commit("no zip")
	})
	person := r.at(branchOf)
	res := r.want(StatusPresent, audited(t, "/usr/bin/curl", "/usr/bin/zip"))
	if r.at(branchOf) != person || len(res.Findings) != 1 || res.Findings[0].Cause != CauseRemoved {
		t.Errorf("%+v; want a finding about zip", res)
	}
	req := audited(t, "/usr/bin/curl", "/usr/bin/zip")
	req.Options.IDs = []string{req.Observations[1].ID}
	if r.want(StatusPushed, req); !strings.Contains(r.show(branchOf, "payments.cue"), "zip") {
		t.Error("a person asked for zip by name and did not get it")
	}
}

func TestRepositoryDenialByID(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": strings.Replace(paymentsFile, "audit", "enforce", 1)})
	os := observed(t, report("payments", schema.ActionDeny, "/usr/bin/curl", "/usr/bin/dash"), report("payments", schema.ActionDeny, "/usr/bin/zip", ""))
	out, err := r.propose(Request{Observations: os})
	if err != nil || len(out.Results) != 0 || len(out.Findings) != 2 || r.at(branchOf) != "" {
		t.Fatalf("Propose = %+v, %v; want two findings", out, err)
	}
	res := r.want(StatusPushed, Request{Observations: os, Options: Options{IDs: []string{os[0].ID}}})
	if len(res.Changes) != 1 || res.Changes[0].Object != "/usr/bin/curl" || res.Changes[0].Why != "denied once, from /usr/bin/dash" {
		t.Errorf("changes %+v", res.Changes)
	}
	r.want(StatusPresent, Request{Observations: os, Options: Options{IDs: []string{os[0].ID[:10]}}})
}

func TestRepositoryErrors(t *testing.T) {
	if _, err := NewRepository(Config{URL: "http://example.com/x"}); err == nil {
		t.Error("plain http was taken")
	}
	if _, err := NewRepository(Config{URL: "file:///x", Author: "a\nb"}); err == nil {
		t.Error("an author of two lines was taken")
	}
	tests := map[string]struct {
		prepare func(r *remote)
		want    string
	}{
		"base is gone": {func(r *remote) {
			r.git("push", "-q", "origin", "main:elsewhere")
			r.run(r.bare, "update-ref", "-d", "refs/heads/main")
		}, `"elsewhere"`},
		"empty":   {func(r *remote) { r.run(r.bare, "update-ref", "-d", "refs/heads/main") }, "push a first commit"},
		"no such": {func(r *remote) { r.bare += "x" }, "not found"},
		"base is broken": {func(r *remote) {
			r.edit("main", func() { r.write("payments.cue", "package policy\n\nworkload: payments: exec: 1\n"); r.commit("oops") })
		}, "payments.cue:3:"},
		"branch is broken": {func(r *remote) {
			r.want(StatusPushed, audited(t, "/usr/bin/zip"))
			r.edit(branchOf, func() { r.write("payments.cue", "package policy\n\nworkload: payments: exec: 1\n"); r.commit("oops") })
		}, "repair, merge or delete the branch"},
		"a hook says no": {func(r *remote) {
			writeHook(r.t, r.bare, "update", "echo learned branches are closed >&2; exit 1")
		}, "can't be pushed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
			r.t = t
			tt.prepare(r)
			out, err := r.propose(audited(t, "/usr/bin/curl"))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\x1b\x00") {
				t.Errorf("Propose = %+v, %v; want an error with %q", out, err, tt.want)
			}
			var broken compiler.Errors
			if isPolicy := strings.Contains(name, "broken"); errors.As(err, &broken) != isPolicy {
				t.Errorf("error %v; is compiler.Errors: want %v", err, isPolicy)
			}
		})
	}
}

func writeHook(t testing.TB, bare, name, script string) {
	t.Helper()
	path := filepath.Join(bare, "hooks", name)
	writeTestFile(t, path, []byte("#!/bin/sh\n"+script+"\n"))
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestRepositoryOneFailureDoesNotStopOthers has one workload's branch broken.
func TestRepositoryOneFailureDoesNotStopOthers(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile, "web.cue": strings.NewReplacer("payments", "web", "shop", "web").Replace(paymentsFile)})
	r.want(StatusPushed, audited(t, "/usr/bin/zip"))
	r.edit(branchOf, func() { r.write("payments.cue", "package policy\n\nworkload: payments: exec: 1\n"); r.commit("oops") })
	os := observed(t, report("payments", schema.ActionAudit, "/usr/bin/curl", ""), report("web", schema.ActionAudit, "/usr/bin/curl", ""))
	out, err := r.propose(Request{Observations: os})
	if err == nil || len(out.Results) != 2 || out.Results[0].Status != StatusFailed || out.Results[0].Error == "" || out.Results[1].Status != StatusPushed || r.at("writ/learn/web") == "" {
		t.Errorf("Propose = %+v, %v; want one failed and one pushed", out, err)
	}
}

// TestRepositoryRace has the branch move between the look and the push, by a hook of the server itself: once, and each time.
func TestRepositoryRace(t *testing.T) {
	for name, guard := range map[string]string{"once": "test -e moved && exit 0; touch moved\n", "always": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
			r.git("checkout", "-q", "-b", "side")
			for range 4 {
				r.commit("on the side")
			}
			r.git("push", "-q", "origin", "side")
			// Each run moves the branch one commit further along side, with the server's own update-ref.
			writeHook(t, r.bare, "pre-receive", "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n"+guard+
				"n=$(cat n 2>/dev/null || echo 3); echo $((n-1)) >n\ngit update-ref refs/heads/"+branchOf+" side~$n")
			out, err := r.propose(audited(t, "/usr/bin/curl"))
			if name == "always" {
				if err == nil || !strings.Contains(err.Error(), "moved while it was pushed") || out.Results[0].Status != StatusFailed {
					t.Errorf("Propose = %+v, %v; want an error that says that the branch moved", out, err)
				}
				return
			}
			if err != nil || out.Results[0].Status != StatusPushed || r.at(branchOf+"^") != r.at("side~3") {
				t.Errorf("Propose = %+v, %v; want it pushed on top of side~3", out, err)
			}
		})
	}
}

// TestRepositoryConcurrent has several proposers with different evidence at once. Each succeeds or says that the branch moved, and what the
// ones that succeeded proposed is on the branch.
func TestRepositoryConcurrent(t *testing.T) {
	r := newRemote(t, map[string]string{"payments.cue": paymentsFile})
	objects := []string{"/bin/a", "/bin/b", "/bin/c"}
	done := make([]bool, len(objects))
	var wg sync.WaitGroup
	for i, o := range objects {
		wg.Go(func() {
			out, err := r.propose(audited(t, o))
			if done[i] = err == nil; err != nil && !strings.Contains(err.Error(), "moved") {
				t.Errorf("%s: %+v, %v", o, out, err)
			}
		})
	}
	wg.Wait()
	text := r.show(branchOf, "payments.cue")
	successes := 0
	for i, o := range objects {
		if done[i] {
			successes++
		}
		if strings.Contains(text, o) != done[i] {
			t.Errorf("%s on the branch is not %v:\n%s", o, done[i], text)
		}
	}
	if successes < 2 {
		t.Errorf("%d of %d succeeded; want at least 2: one at once, one at its second try", successes, len(objects))
	}
	r.want(StatusPushed, audited(t, "/bin/a", "/bin/b", "/bin/c", "/bin/d"))
}
