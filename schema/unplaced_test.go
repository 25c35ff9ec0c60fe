// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"reflect"
	"strings"
	"testing"

	"encoding/json"
)

// TestUnplaced fills every field that can hold positions, by reflection, so that a new one is not forgotten.
func TestUnplaced(t *testing.T) {
	var p Policy
	fill(reflect.ValueOf(&p).Elem(), 0)
	before, err := json.Marshal(p)
	if err != nil || strings.Count(string(before), `"line":7`) < 30 {
		t.Fatalf("%d positions, %v", strings.Count(string(before), `"line":7`), err)
	}
	after, err := json.Marshal(Unplaced(p))
	if err != nil || strings.Contains(string(after), `"line":7`) {
		t.Errorf("positions are left, %v: %s", err, after)
	}
	if again, err := json.Marshal(p); err != nil || string(again) != string(before) {
		t.Errorf("the original changed, %v", err)
	}
	if got := Unplaced(p); got.Workloads[0].Name != "x" || got.Workloads[0].Rules[0].Peer.Workload != "x" || got.Gates[0].Deny[0].Name != "x" {
		t.Errorf("something else is gone: %+v", got)
	}
}

func fill(v reflect.Value, level int) {
	switch {
	case v.Type() == positionsType:
		v.Set(reflect.ValueOf([]Pos{{"a.cue", 7, 7}}))
		return
	case level > 8 || v.Type().PkgPath() != "" && v.Type().PkgPath() != reflect.TypeFor[Pos]().PkgPath():
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), level+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), level+1)
		fill(v.Index(1), level+1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), level+1)
	}
}
