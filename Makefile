# SPDX-FileCopyrightText: The writ authors
# SPDX-License-Identifier: Apache-2.0

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all

GO ?= go
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
TESTFLAGS ?=
BENCHTIME ?= 1s
FUZZTIME ?= 10s
SOAKTIME ?= 2h

# Modules of their own below this one, tested and linted with it. The test of the house fails on one that is missing here.
NESTED_MODULES := compiler/gatekeepertest cmd/writ-check schema/manifest/podsecuritytest enforcer/cluster
NESTED := $(patsubst %/go.mod,%,$(wildcard $(NESTED_MODULES:%=%/go.mod)))

# Kernels of test-vm and the Debian suites whose cloud kernels they are. One alone: make test-vm KERNELS=6.1
# One package, one test, without those of the guest itself: make test-vm SUITES=enforcer/bpf RUN=TestRootSwap
KERNELS ?= 6.12 6.1
SUITES ?= enforcer/bpf enforcer/node
RUN ?= ^TestRoot
SUITE_6.12 := bookworm-backports
SUITE_6.1 := bookworm

LINT_VERSION := $(shell awk '$$1 == "github.com/golangci/golangci-lint/v2" {print $$2}' .ci/tools/go.mod)
LINT := $(CURDIR)/.cache/tools/$(LINT_VERSION)/golangci-lint
CUE_VERSION := $(shell awk '$$1 == "cuelang.org/go" {print $$2}' .ci/cue/go.mod)
CUE := $(CURDIR)/.cache/tools/cue-$(CUE_VERSION)/cue
KUBE_VERSION := $(shell awk '$$1 == "k8s.io/kubernetes" {print $$2}' .ci/kube/go.mod)
KUBE := $(CURDIR)/.cache/tools/kube-$(KUBE_VERSION)
KUBE_NUMBERS := $(subst ., ,$(KUBE_VERSION:v%=%))
KUBE_SAYS := gitVersion=$(KUBE_VERSION) gitMajor=$(word 1,$(KUBE_NUMBERS)) gitMinor=$(word 2,$(KUBE_NUMBERS)) gitTreeState=clean
ETCD := $(CURDIR)/.cache/tools/etcd-$(shell awk '$$1 == "go.etcd.io/etcd/server/v3" {print $$2}' .ci/etcd/go.mod)/etcd
GATEKEEPER_VERSION := $(shell awk '$$1 == "github.com/open-policy-agent/gatekeeper/v3" {print $$2}' .ci/gatekeeper/go.mod)
GATEKEEPER := $(CURDIR)/.cache/tools/gatekeeper-$(GATEKEEPER_VERSION)/gatekeeper
SERVERS := $(ETCD) $(KUBE)/kube-apiserver $(GATEKEEPER) $(KUBE)/kube-controller-manager

# Tests that take root or long are asked for by name.
AS_ROOT := WRIT_TEST_ROOT=1
IF_ROOT := WRIT_TEST_ROOT=$$([ "$$(id -u)" = 0 ] && echo 1 || true)
need_root = @[ "$$(id -u)" = 0 ] || { echo "make $@ needs root: it loads BPF programs and makes cgroups. Try: sudo -E make $@" >&2; exit 2; }

.PHONY: all build demo test test-root test-vm e2e bench soak cue kube generate lint fuzz fmt clean help

all: build test ## build, then test: what a change must pass everywhere

build: ## build bin/writ, bin/writ-node and bin/writ-check, all static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/writ ./cmd/writ-node
	cd cmd/writ-check && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(CURDIR)/bin/ .

demo: build ## show the whole circle: a rule, a denial, a proposal (root for the kernel's part)
	@bin/writ demo

test: ## run every test that needs no root
	$(GO) test -count=1 .
	$(GO) test $(TESTFLAGS) -skip '^Test(Soak|Bench|E2E)' ./...
	$(foreach m,$(NESTED),cd $(CURDIR)/$(m) && $(GO) test $(TESTFLAGS) -skip '^Test(Soak|Bench|E2E)' ./...;)

test-root: ## run the kernel tests on this kernel (root)
	$(need_root)
	$(AS_ROOT) $(GO) test $(TESTFLAGS) -count=1 -p 1 -run '$(RUN)' ./enforcer/... ./cmd/...

test-vm: $(KERNELS:%=.cache/vm/%/vmlinuz) ## run the kernel tests on Debian's kernels 6.12 and 6.1, in QEMU
	WRIT_VM_KERNELS=$$(echo $(KERNELS:%=$(CURDIR)/.cache/vm/%) | tr ' ' :) WRIT_VM_SUITES='$(SUITES)' WRIT_VM_RUN='$(RUN)' \
		$(GO) test $(TESTFLAGS) -count=1 -timeout 60m -v -run '$(if $(filter-out ^TestRoot,$(RUN)),^TestGuestKernels$$,^TestGuest)' ./enforcer/vm

.cache/vm/%/vmlinuz:
	enforcer/vm/kernel.sh $* $(SUITE_$*) $(@D)

e2e: ## run the whole circle as tests, from push to denial to proposal, on this kernel and in a cluster (root)
	$(need_root)
	$(MAKE) kube
	$(AS_ROOT) $(GO) test $(TESTFLAGS) -count=1 -p 1 -timeout 20m -run '^TestE2E' ./cmd/...
	cd enforcer/cluster && $(GO) test $(TESTFLAGS) -count=1 -timeout 20m -run '^TestE2E' ./...

bench: $(CUE) $(SERVERS) ## measure, and print a table (root for the kernel's part)
	{ $(IF_ROOT) $(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 60m ./...; \
	  $(IF_ROOT) $(GO) test -count=1 -v -run '^TestBench' -timeout 60m ./cmd/...; \
	  cd enforcer/cluster && $(GO) test -count=1 -v -run '^TestBench' -timeout 60m ./...; } | awk -f .ci/bench-table.awk

soak: ## run the tests that take longer than CI should (root for the kernel's part)
	WRIT_TEST_SOAK=1 $(IF_ROOT) $(GO) test $(TESTFLAGS) -count=1 -p 1 -run '^TestSoak' -timeout $(SOAKTIME) ./...
	$(foreach m,$(NESTED),cd $(CURDIR)/$(m) && WRIT_TEST_SOAK=1 $(GO) test $(TESTFLAGS) -count=1 -p 1 -run '^TestSoak' -timeout $(SOAKTIME) ./...;)

cue: $(CUE) ## build the cue command, which tests and benchmarks hold writ against

kube: $(SERVERS) ## build the servers of a cluster, which make e2e and make bench run

generate: ## make the generated files anew (clang-19)
	@for p in clang-19 llvm-strip-19; do command -v $$p >/dev/null || { \
		echo "make generate needs $$p and the headers of libbpf. Debian: apt-get install clang-19 llvm-19 libbpf-dev" >&2; exit 2; }; done
	$(GO) generate ./...

lint: $(LINT) ## check style and likely mistakes
	$(GO) mod tidy -diff
	$(LINT) run ./...
	$(foreach m,$(NESTED),cd $(CURDIR)/$(m) && $(LINT) run --config $(CURDIR)/.golangci.yaml ./...;)

# The linter is a module of its own, so that its dependencies are none of ours. Building it takes minutes, once for each version.
$(LINT): .ci/tools/go.mod
	cd .ci/tools && $(GO) build -trimpath -ldflags '-s -w' -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

# The same for the cue command. Its version is that of the CUE that we link; the test of policy trees holds them together.
$(CUE): .ci/cue/go.mod
	cd .ci/cue && $(GO) build -trimpath -ldflags '-s -w' -o $@ cuelang.org/go/cmd/cue
	@touch $@

# The servers of a cluster, each of a module of its own. The API server alone takes 6 to 12 minutes on two cores, once for each version. Gatekeeper
# is built as the tests of compiler/gatekeepertest are and of the same versions, so that the cache has two thirds of it.
$(ETCD): .ci/etcd/go.mod
	cd .ci/etcd && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ go.etcd.io/etcd/server/v3
	@touch $@

$(KUBE)/%: .ci/kube/go.mod
	cd .ci/kube && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w $(KUBE_SAYS:%=-X k8s.io/component-base/version.%)' -o $@ k8s.io/kubernetes/cmd/$*
	@touch $@

$(GATEKEEPER): .ci/gatekeeper/go.mod
	cd .ci/gatekeeper && $(GO) build -ldflags '-s -w -X github.com/open-policy-agent/gatekeeper/v3/pkg/version.Version=$(GATEKEEPER_VERSION)' \
		-o $@ github.com/open-policy-agent/gatekeeper/v3
	cp "$$(cd .ci/gatekeeper && $(GO) list -m -f '{{.Dir}}' github.com/open-policy-agent/gatekeeper/v3)/deploy/gatekeeper.yaml" $(@D)/
	@chmod u+w $(@D)/gatekeeper.yaml
	@touch $@

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@FUZZTIME=$(FUZZTIME) GO=$(GO) .ci/fuzz

fmt: ## format the Go files
	@gofmt -s -l -w $$(git ls-files -co --exclude-standard '*.go')

clean: ## remove bin and out; fetched kernels and built tools stay in .cache
	rm -rf bin out

help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
