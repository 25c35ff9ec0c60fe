// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"reflect"
	"sync"
)

var positionsType = reflect.TypeFor[[]Pos]()

// Unplaced returns a copy of a policy, or of a part of one, without positions: what it means, wherever it is stated.
func Unplaced[T any](v T) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	out.Set(unplaced(reflect.ValueOf(&v).Elem()))
	return out.Interface().(T)
}

// unplaced copies what leads to positions, and shares the rest: nobody changes a policy.
func unplaced(v reflect.Value) reflect.Value {
	if !leads(v.Type()) {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Type != positionsType {
				out.Field(i).Set(unplaced(v.Field(i)))
			}
		}
	case reflect.Slice:
		if v.Type() == positionsType || v.IsNil() {
			return out
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(unplaced(v.Index(i)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(unplaced(v.Elem()))
		}
	default:
		out.Set(v)
	}
	return out
}

// leadsTo remembers what leads says.
var leadsTo sync.Map // of reflect.Type to bool

func leads(t reflect.Type) bool {
	if known, ok := leadsTo.Load(t); ok {
		return known.(bool)
	}
	l := findLeads(t)
	leadsTo.Store(t, l)
	return l
}

// findLeads reports whether positions may be found in a type. Maps of a policy hold none.
func findLeads(t reflect.Type) bool {
	switch {
	case t == positionsType:
		return true
	case t.PkgPath() != "" && t.PkgPath() != reflect.TypeFor[Pos]().PkgPath():
		return false // a type of another package, such as an address
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && leads(f.Type) {
				return true
			}
		}
	case reflect.Slice, reflect.Pointer:
		return leads(t.Elem())
	}
	return false
}
