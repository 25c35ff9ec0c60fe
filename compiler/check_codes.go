// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"
)

// Code is one kind of warning.
type Code struct {
	ID      string `json:"id"`      // "W001" and so on; it never changes its meaning and is never used for another
	Meaning string `json:"meaning"` // in one line
}

// Codes lists the kinds of warnings, sorted by ID.
func Codes() []Code {
	var all []Code
	for _, id := range slices.Sorted(maps.Keys(codes)) {
		all = append(all, Code{id, codes[id]})
	}
	return all
}

const (
	codeOverlap    = "W001"
	codeLockOut    = "W002"
	codeShadowed   = "W003"
	codeNothing    = "W004"
	codeNoImage    = "W005"
	codeNoPod      = "W006"
	codeSameMode   = "W007"
	codeNoMatch    = "W008"
	codeEverything = "W009"
	codeLiteral    = "W010"
	codeReserved   = "W011"
	codeLayer4     = "W012"
	codeMetadata   = "W013"
	codeWildcard   = "W014"
	codeTLSBeside  = "W015"
	codeCutInto    = "W016"
	codeOpen       = "W017"
	codeUnused     = "W018"
	codeNoEffect   = "W019"
	codeCovered    = "W020"
	codeNoFolder   = "W021"
	codeNever      = "W022"
	codeSilence    = "W023"
	codePast       = "W024"
	codeNear       = "W025"
	codeStrict     = "W026"
	codeAnyone     = "W027"
)

// codes is the one table of warnings. A code never changes its meaning; one that is not used any more stays here, and says so.
var codes = map[string]string{
	codeOverlap:    "two workloads of a folder can select the same container",
	codeLockOut:    "a plane is closed without a rule, in enforce",
	codeShadowed:   "a broader rule of the same workload allows it all",
	codeNothing:    "a workload mentions no plane, so everything is allowed",
	codeNoImage:    "image names no condition, so every image is allowed",
	codeNoPod:      "pod names no condition, so every Pod is allowed",
	codeSameMode:   "a planned mode is the same before and after its date",
	codeNoMatch:    "a pattern matches nothing that occurs",
	codeEverything: "a rule in enforce allows everything on its plane",
	codeLiteral:    "a pattern holds characters that are special elsewhere and literal here",
	codeReserved:   "an address or a name is reserved, or is never judged",
	codeLayer4:     "a rule without layer 7 allows all that one with layer 7 restricts",
	codeMetadata:   "a rule allows a cloud's metadata service, which gives credentials",
	codeWildcard:   "a wildcard stands for names of different owners",
	codeTLSBeside:  "tls beside http or grpc allows every request over TLS",
	codeCutInto:    "a bound forbids a part of what a rule allows",
	codeOpen:       "a plane that a bound limits is open",
	codeUnused:     "nothing refers to it",
	codeNoEffect:   "a field has no effect beside the others",
	codeCovered:    "another alternative of the same gate denies it all",
	codeNoFolder:   "a folder is given something, and holds no policy",
	codeNever:      "a response can never act",
	codeSilence:    "an attribute @writ silences nothing",
	codePast:       "a date is past",
	codeNear:       "a date is near",
	codeStrict:     "a value is permitted that the profile forbids",
	codeAnyone:     "a signer is anybody whom an issuer knows",
}
