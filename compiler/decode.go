// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/writ-sec/writ/schema"
)

var (
	namesType = reflect.TypeFor[schema.Names]()
	boolsType = reflect.TypeFor[*bool]()
)

// decode fills a Go value from a node whose shape has been checked: struct fields by their JSON names, maps from structs of named entries,
// [schema.Names] from sets. What has another shape, in an entry that is not valid, is left zero, and so are fields that Go knows and
// CUE does not. The words of Go and CUE are held together by a test.
func decode(n *node, into any) { decodeValue(n, reflect.ValueOf(into).Elem()) }

func decodeValue(n *node, v reflect.Value) {
	if n == nil {
		return
	}
	if v.Type() == namesType {
		v.Set(reflect.ValueOf(n.names()))
		return
	}
	if v.Type() == boolsType && n.Kind == nodeBool {
		b := n.Text == "true"
		v.Set(reflect.ValueOf(&b))
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Kind == nodeString {
			v.SetString(n.Text)
		}
	case reflect.Bool:
		v.SetBool(n.Kind == nodeBool && n.Text == "true")
	case reflect.Int, reflect.Int64:
		if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil && n.Kind == nodeNumber {
			v.SetInt(i)
		}
	case reflect.Interface: // an assertion's value
		v.Set(reflect.ValueOf(n.scalar()))
	case reflect.Pointer:
		if n.Kind == nodeStruct {
			v.Set(reflect.New(v.Type().Elem()))
			decodeValue(n, v.Elem())
		}
	case reflect.Struct:
		decodeStruct(n, v)
	case reflect.Map:
		if n.Kind != nodeStruct {
			return
		}
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Fields)))
		for _, f := range n.Fields {
			e := reflect.New(v.Type().Elem()).Elem()
			decodeValue(f.Node, e)
			v.SetMapIndex(reflect.ValueOf(f.Name).Convert(v.Type().Key()), e)
		}
	default:
		panic(fmt.Sprintf("compiler: decode into %v", v.Type())) // the types are ours
	}
}

func decodeStruct(n *node, v reflect.Value) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := n.get(name)
		if f != nil && !lowered[v.Type().Field(i).Type] {
			decodeValue(f, v.Field(i))
		}
	}
}

// lowered holds the types of fields that lowering fills in by itself.
var lowered = map[reflect.Type]bool{
	reflect.TypeFor[[]schema.Pos](): true, reflect.TypeFor[[]schema.Rule](): true, reflect.TypeFor[[]schema.Limit](): true,
	reflect.TypeFor[[]schema.Alternative](): true, reflect.TypeFor[schema.RuleID](): true, reflect.TypeFor[[]schema.PlaneMode](): true,
	reflect.TypeFor[map[string][]schema.PlaneMode](): true, reflect.TypeFor[[]schema.Maker](): true,
}

// names returns the keys of a set, sorted, or nil for anything else. An empty set is not nil.
func (n *node) names() schema.Names {
	if n == nil || n.Kind != nodeStruct {
		return nil
	}
	all := make(schema.Names, 0, len(n.Fields))
	for _, f := range n.Fields {
		all = append(all, f.Name)
	}
	return all
}

// scalar returns a string, a bool, an int64, or nil.
func (n *node) scalar() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case nodeString:
		return n.Text
	case nodeBool:
		return n.Text == "true"
	case nodeNumber:
		if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil {
			return i
		}
	}
	return nil
}
