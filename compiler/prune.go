// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"maps"
	"slices"
)

// prunable reports whether what a folder says can be evaluated without the workloads of the folders above that it does not name: its own
// files add to workloads by literal names only, and nobody refers to a workload. Then it returns the names. Without this, each workload at
// the root would be evaluated again in every folder.
func prunable(own, above []*parsed) (keep map[string]bool, ok bool) {
	keep = map[string]bool{}
	referable := map[string]bool{workloadField: true}
	for _, p := range own {
		if p.index.embedded {
			return nil, false
		}
		maps.Copy(keep, p.index.names)
	}
	for _, p := range above {
		maps.Copy(referable, p.index.names)
	}
	for _, p := range slices.Concat(own, above) {
		if p.index.aliased {
			return nil, false
		}
		for name := range p.index.idents {
			if referable[name] {
				return nil, false
			}
		}
	}
	return keep, true
}

// prune returns the content of a file without the workloads that are not kept. They are blanked, so that all positions stay.
func (p *parsed) prune(keep map[string]bool) []byte {
	data, cloned := p.src.data, false
	for _, e := range p.index.extents {
		if keep[e.name] {
			continue
		}
		if !cloned {
			data, cloned = slices.Clone(data), true
		}
		for i := e.start; i < e.end; i++ {
			if data[i] != '\n' {
				data[i] = ' '
			}
		}
		rest := e.end
		for rest < len(data) && (data[rest] == ' ' || data[rest] == '\t') {
			rest++
		}
		if rest < len(data) && data[rest] == ',' {
			data[rest] = ' '
		}
	}
	return data
}
