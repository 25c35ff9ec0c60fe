// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/reconciler/gitauth"
	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// Config says where proposals go. URL must be set.
type Config struct {
	// URL of the policy repository: https://…, ssh://… or user@host:path, file://… or a local path. Plain http is for loopback only.
	URL     string
	Branch  string // what proposals are made against; "": the remote's default branch
	Auth    Auth
	Author  string        // of the commits; "": "writ learn"
	Email   string        // of the commits; "": "writ-learn@localhost"
	Timeout time.Duration // of one call of Propose; 0: 2 minutes
	TempDir string        // where the temporary clone is made; "": the system's
}

// Repository commits proposals to branches of a policy repository. It keeps nothing between calls but evaluated policy, and is not safe for
// concurrent use; other processes may push to the same repository at any time.
type Repository struct {
	cfg      Config
	compiler *compiler.Compiler
}

// NewRepository returns a Repository. It does not visit the remote yet.
func NewRepository(cfg Config) (*Repository, error) {
	cfg.Author = cmp.Or(cfg.Author, "writ learn")
	cfg.Email = cmp.Or(cfg.Email, "writ-learn@localhost")
	cfg.Timeout = cmp.Or(cfg.Timeout, 2*time.Minute)
	if strings.ContainsAny(cfg.Author+cfg.Email, "<>\r\n\x00") {
		return nil, fmt.Errorf("author %q <%q>: want a name and an address without angle brackets and newlines", cfg.Author, cfg.Email)
	}
	if _, err := gitauth.Parse(cfg.URL); err != nil {
		return nil, err
	}
	return &Repository{cfg: cfg, compiler: compiler.New(compiler.Config{})}, nil
}

// Request asks for proposals.
type Request struct {
	Observations []Observation
	Options      Options
	// Now is when the commits are made and, without Options.At, when what is dated is decided. With the same evidence and remote, the same
	// instant gives the same commit.
	Now    time.Time
	DryRun bool // stop before the push
}

// Status is how a proposal ended.
type Status string

// The statuses.
const (
	StatusPushed  Status = "pushed"  // Commit is on Branch of the remote
	StatusDryRun  Status = "dry-run" // Commit would have been pushed
	StatusPresent Status = "present" // Branch holds it already; nothing was done
	StatusFailed  Status = "failed"  // see Error
)

// Result is what became of the proposal for one workload.
type Result struct {
	Workload string    `json:"workload"`
	Status   Status    `json:"status"`
	Branch   string    `json:"branch"`
	Parent   string    `json:"parent,omitempty"` // the commit that Diff starts from: the head of Branch, or of the base
	Commit   string    `json:"commit,omitempty"` // the new commit; when present, the head of Branch
	Files    []string  `json:"files,omitempty"`  // that changed, sorted
	Diff     string    `json:"diff,omitempty"`   // unified; the lines of the repository as they are, so quote control characters for a terminal
	Message  string    `json:"message,omitempty"`
	Changes  []Change  `json:"changes,omitempty"`
	Findings []Finding `json:"findings,omitempty"` // what the branch does not take
	Error    string    `json:"error,omitempty"`
}

// Outcome is what became of a Request.
type Outcome struct {
	Base     string    `json:"base"`   // the branch that proposals were made against
	Commit   string    `json:"commit"` // its head
	Results  []Result  `json:"results,omitempty"`
	Findings []Finding `json:"findings,omitempty"` // what is not proposed, and why
}

// Propose visits the remote, judges the observations under the policy at the head of the base branch, and puts what is missing as one commit for each
// workload on its branch, see [BranchName]. It never forces a push. The error joins those of the results that failed; when the base itself is
// broken it is [compiler.Errors]. The Outcome is never nil.
func (r *Repository) Propose(ctx context.Context, req Request) (*Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	out := &Outcome{}
	if req.Options.At.IsZero() {
		req.Options.At = req.Now
	}
	v, err := r.visit(ctx, req)
	if err != nil {
		return out, err
	}
	defer func() { v.clone.close() }()
	out.Base, out.Commit, out.Findings = v.baseName, v.base.Hash.String(), v.missing.Findings
	var errs []error
	for _, p := range v.missing.Proposals {
		res, moved, err := v.propose(ctx, p)
		if moved { // somebody pushed to the branch in between: look again, once
			if res, err = r.again(ctx, req, p.Workload); err != nil {
				err = fmt.Errorf("the branch moved while it was pushed to, twice or for good: %w", err)
			}
		}
		if err != nil {
			res.Status, res.Error = StatusFailed, err.Error()
			errs = append(errs, fmt.Errorf("workload %q: %w", p.Workload, err))
		}
		out.Results = append(out.Results, res)
	}
	return out, errors.Join(errs...)
}

// again proposes for one workload from the remote's new state.
func (r *Repository) again(ctx context.Context, req Request, workload string) (Result, error) {
	res := Result{Workload: workload, Branch: BranchName(workload)}
	v, err := r.visit(ctx, req)
	if err != nil {
		return res, err
	}
	defer v.clone.close()
	for _, p := range v.missing.Proposals {
		if p.Workload == workload {
			res, _, err = v.propose(ctx, p)
			return res, err
		}
	}
	res.Status = StatusPresent // merged in between
	return res, nil
}

// visit is one look at the remote.
type visit struct {
	r        *Repository
	req      Request
	clone    *clone
	baseName string
	base     *object.Commit
	branches map[string]plumbing.Hash
	tree     compiler.Tree
	missing  Proposals // under the base's policy
}

func (r *Repository) visit(ctx context.Context, req Request) (*visit, error) {
	c, err := newClone(ctx, r.cfg)
	if err != nil {
		return nil, err
	}
	v := &visit{r: r, req: req, clone: c}
	if err := v.look(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return v, nil
}

func (v *visit) look(ctx context.Context) (err error) {
	if v.baseName, v.branches, err = v.clone.open(ctx, v.r.cfg.Branch); err != nil {
		return err
	}
	if v.base, err = v.clone.branch(v.baseName); err != nil {
		return err
	}
	var policy *schema.Policy
	if v.tree, policy, err = v.policyOf(ctx, v.base); err != nil {
		return fmt.Errorf("policy repository %s: branch %q: %w", v.clone.at, v.baseName, err)
	}
	v.missing, err = Propose(policy, v.req.Observations, v.req.Options)
	return err
}

func (v *visit) policyOf(ctx context.Context, c *object.Commit) (compiler.Tree, *schema.Policy, error) {
	tree, err := readTree(c)
	if err != nil {
		return tree, nil, err
	}
	res, err := v.r.compiler.Compile(ctx, tree, bundle.Envelope{})
	if err != nil {
		return tree, nil, err
	}
	policy, err := res.Policy()
	return tree, policy, err
}

// start is where a commit begins: the tree it edits, and its parents. The last parent is what the diff is against.
type start struct {
	tree     compiler.Tree
	on       *object.Commit // whose tree is edited
	parents  []plumbing.Hash
	proposal Proposal
	findings []Finding
}

// propose puts one proposal on its branch. moved tells that the remote's branch moved since it was looked at.
func (v *visit) propose(ctx context.Context, p Proposal) (res Result, moved bool, err error) {
	res = Result{Workload: p.Workload, Branch: BranchName(p.Workload)}
	st, err := v.start(ctx, p, res.Branch)
	if err != nil {
		return res, false, err
	}
	res.Findings, res.Parent = st.findings, st.on.Hash.String()
	if len(st.proposal.Changes) == 0 {
		res.Status, res.Commit = StatusPresent, st.on.Hash.String()
		return res, false, nil
	}
	commit, err := v.commit(ctx, st, &res)
	if err != nil {
		return res, false, err
	}
	if v.req.DryRun {
		res.Status = StatusDryRun
		return res, false, nil
	}
	if moved, err = v.clone.push(ctx, res.Branch, v.branches[res.Branch], commit); err == nil {
		res.Status = StatusPushed
	}
	return res, moved, err
}

// commit edits and stores, and fills in the result.
func (v *visit) commit(ctx context.Context, st start, res *Result) (plumbing.Hash, error) {
	edited, err := Edit(ctx, v.r.compiler, st.tree, st.proposal)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	root, err := st.on.Tree()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	tree, err := writeTree(v.clone.repo.Storer, root, edited.Files)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	res.Changes, res.Message = st.proposal.Changes, message(st.proposal)
	c, err := v.clone.commit(tree, st.parents, signature(v.r.cfg.Author, v.r.cfg.Email, v.req.Now), res.Message)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	for name := range edited.Files {
		res.Files = append(res.Files, name)
	}
	slices.Sort(res.Files)
	res.Commit = c.Hash.String()
	res.Diff, err = diff(ctx, st.on, c)
	return c.Hash, err
}

// start decides what to build on. A branch that does not exist, or that the base took by a merge, begins anew at the base; one that the base took by a
// squash or rebase does too, by a merge commit, since a push is never forced. Otherwise the branch goes on, with what it lacks.
func (v *visit) start(ctx context.Context, p Proposal, branch string) (start, error) {
	anew := start{tree: v.tree, on: v.base, parents: []plumbing.Hash{v.base.Hash}, proposal: p}
	if _, ok := v.branches[branch]; !ok {
		return anew, nil
	}
	tip, err := v.clone.branch(branch)
	if err != nil {
		return start{}, err
	}
	if merged, err := tip.IsAncestor(v.base); err != nil || merged {
		return anew, err
	}
	if squashed, err := taken(tip, v.base); err != nil {
		return start{}, err
	} else if squashed {
		anew.parents = []plumbing.Hash{tip.Hash, v.base.Hash}
		return anew, nil
	}
	tree, policy, err := v.policyOf(ctx, tip)
	if err != nil {
		return start{}, fmt.Errorf("branch %q, commit %s, is not a policy that can be added to; repair, merge or delete the branch: %w", branch, tip.Hash, err)
	}
	st := start{tree: tree, on: tip, parents: []plumbing.Hash{tip.Hash}, proposal: Proposal{Workload: p.Workload}}
	lacking, err := Propose(policy, evidence(v.req.Observations, p), v.req.optionsFor(p))
	if err != nil {
		return start{}, err
	}
	for _, q := range lacking.Proposals {
		if q.Workload == p.Workload {
			st.proposal = q
		}
	}
	if len(v.req.Options.IDs) > 0 {
		return st, nil // a person asks for it by name, whoever declined it before
	}
	err = v.respect(&st, tip)
	return st, err
}

// respect leaves out what was proposed on the branch before and is not there any more: a person took it out.
func (v *visit) respect(st *start, tip *object.Commit) error {
	commits, err := since(tip, v.base)
	if err != nil {
		return err
	}
	before := map[string]bool{}
	for _, c := range commits {
		proposed(c.Message, before)
	}
	st.proposal.Changes = slices.DeleteFunc(st.proposal.Changes, func(c Change) bool {
		if !slices.ContainsFunc(c.marks(), func(m schema.RuleID) bool { return before[m.String()] }) {
			return false
		}
		st.findings = append(st.findings, Finding{Observation: c.Evidence.Observations[0], Workloads: []string{c.Workload},
			Object: schema.Path(c.Object), Cause: CauseRemoved,
			Text: "it was proposed on the branch and taken out there; only a person who names the event " + c.Evidence.Observations[0] + " can have it proposed again"})
		return true
	})
	return nil
}

// evidence returns the observations behind a proposal.
func evidence(observations []Observation, p Proposal) []Observation {
	ids := map[string]bool{}
	for _, c := range p.Changes {
		for _, id := range c.Evidence.Observations {
			ids[id] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(observations), func(o Observation) bool { return !ids[o.ID] })
}

// optionsFor names the observations of a proposal in full where some were asked for, since a prefix may be known to all of them only.
func (req Request) optionsFor(p Proposal) Options {
	opt := req.Options
	opt.IDs = nil
	if len(req.Options.IDs) > 0 {
		for _, c := range p.Changes {
			opt.IDs = append(opt.IDs, c.Evidence.Observations...)
		}
	}
	return opt
}
