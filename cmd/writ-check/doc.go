// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

// Command writ-check judges Kubernetes objects by Gatekeeper's templates and constraints, with Gatekeeper's own engine, for writ check, which starts
// it and says what to judge (package checkwire). It is a program and a module of its own, so that writ links neither Gatekeeper nor OPA nor
// Kubernetes' libraries, and starts without them.
//
// # Decisions
//
// It knows no policy, no files and no cluster: what it judges by, it is sent. Reviews run on all processors, as many at a time as there are, so what
// is in memory is bounded by the line limit of checkwire. A review has a time limit, as an admission webhook has; a review beyond it, or one that
// fails, is an answer about that review alone. An object of policy that the engine refuses is an answer too, and the reviews after it are not
// judged: without that object they would be judged by something else than the policy.
package main
