// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Command writ is the tool of people and of continuous integration: it makes, drafts, checks, tests, compares, formats, compiles and explains a
// policy repository, judges manifests by it, puts it in force on this host, and proposes what workloads do as commits.
//
// It may import every room. It decides nothing about policy itself: it reads flags, calls the rooms in order and prints.
//
// # Decisions
//
// Exit codes are a contract for every command: 0 done, 1 the policy says no, 2 the work could not be done, an interrupted command among
// them. writ up, which goes on until it is asked to end, then exits with 0.
//
// What a command prints is for people on a terminal by default, and for programs with -o: json everywhere, sarif and github of diagnostics, junit of
// tests, markdown of a difference. Results go to stdout; what is said about the work, warnings and errors go to stderr.
//
// Every command that compiles keeps what was computed in the user's folder for caches, so that the next one computes what changed. Without such a
// folder nothing is kept.
//
// writ diff takes the two sides from git's objects, without touching the work tree, or from folders. A side that does not compile is exit code 2 and
// not 1: it says nothing about what changed. writ import exits with 0 when something could not be carried over: a draft is a beginning. It and
// writ init overwrite nothing; writ fmt replaces a file in one step.
//
// The command lines of README.md and docs are parsed by a test, and so is the example of each command's help.
//
// writ up and privileges. Evaluating policy and learning need no privilege, so writ up gives its own up before it reads the first byte of
// policy: started as root it starts writ-node on one end of a socket pair and then becomes another user for good (--user; by default
// the user who called sudo, else the owner of the state folder, else nobody). Started as anyone else it cannot start writ-node, and says
// what to do. writ-node is its only root child; when writ up ends, writ-node ends with it, and what is pinned in the kernel stays.
//
// The state folder is all that writ up keeps, and all that learn propose and explain need: the clone, the bundle in force, the folded
// observations, and the address of the source. One state folder serves one repository.
//
// writ learn propose is its own process. It pushes with the credentials of the person who runs it, never with those that writ up
// reads policy with.
//
// writ check judges by what is compiled for Gatekeeper and by nothing else, in another program (writ-check, package checkwire), so that writ links
// neither Gatekeeper nor Kubernetes. The two must have the same version. Input at fault is exit code 2 also where something is denied: nobody knows
// whether all of it would be admitted. A policy that does not compile is 1, as in vet. Results and problems of the input are told apart, and all at once.
//
// With --krm, compile and check are functions of kustomize and kpt; they read and write with kyaml, so that items stay as they are.
//
// A state folder belongs to one user, and root never acts on what stands in it: explain, learn status and learn propose become its owner
// first, and writ up refuses a folder of somebody else.
//
// writ test and writ explain --event ask what the policy means (schema.Judge, through compiler.RunTests and compiler.Consider), never an enforcer,
// so they say the same everywhere and need no node. Where a thing is enforced, and how strongly, is a table of this version
// (compiler.Claims); what the kernel at hand can do, writ-node probe says. A failing test exits with 1, no tests at all with 0. explain exits
// with 0 whatever the verdict is: it explains.
//
// writ compile --krm is the same compile behind the protocol of KRM functions, which kustomize, kpt and Argo CD's and Flux's builds with kustomize
// speak, so that objects need not be committed. It takes no argument from the runner but its command line (ExecSpec.args of kyaml, or kpt's
// exec) and the functionConfig. It finds its own objects by their label and digest annotation, so one package holds the objects of one policy.
// Reading and writing lists is kyaml's kio, which keeps comments; the framework package beside it would link a validator of OpenAPI for
// nothing. kyaml's function runner is in the tests alone.
//
// Text from outside (paths, commit messages, error texts of peers) is quoted before it reaches a terminal.
package main
