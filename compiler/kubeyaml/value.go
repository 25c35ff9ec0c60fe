// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package kubeyaml

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// converter makes the value of one object.
type converter struct {
	*reader
	bytes  int // of the object as JSON, about
	failed bool
}

// object converts a mapping. ok is false if something is wrong with it, which is noted then.
func (c *converter) object(n *yaml.Node) (value map[string]any, ok bool) {
	value = map[string]any{}
	c.mapping(n, value, 0)
	return value, !c.failed
}

func (c *converter) fail(n *yaml.Node, format string, args ...any) {
	c.problem(n, format, args...)
	c.failed = true
}

// spend counts bytes of JSON. Beyond the limit nothing more is converted.
func (c *converter) spend(n *yaml.Node, size int) bool {
	before := c.bytes
	if c.bytes += size; c.bytes > MaxObject && before <= MaxObject {
		c.fail(n, "the object has more than %d bytes as JSON, aliases followed; want at most %d, which is what an API server takes", MaxObject, MaxObject)
	}
	return c.bytes <= MaxObject
}

func (c *converter) value(n *yaml.Node, depth int) any {
	if depth > MaxDepth {
		c.fail(n, "is nested deeper than %d levels; want a Kubernetes object", MaxDepth)
		c.bytes = math.MaxInt / 2
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return c.value(n.Alias, depth+1)
	case yaml.MappingNode:
		fields := map[string]any{}
		c.mapping(n, fields, depth)
		return fields
	case yaml.SequenceNode:
		items := make([]any, 0, min(len(n.Content), 1024))
		for _, item := range n.Content {
			if !c.spend(item, 1) {
				break
			}
			items = append(items, c.value(item, depth+1))
		}
		return items
	default:
		return c.scalar(n)
	}
}

func (c *converter) mapping(n *yaml.Node, fields map[string]any, depth int) {
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !c.spend(key, 4) {
			return
		}
		if isMerge(key) {
			c.merge(value, fields, depth+1)
			continue
		}
		name, ok := c.key(key)
		if !ok {
			continue
		}
		if first := seen[name]; first != nil {
			c.fail(key, "key %.100q is here twice, first on line %d; want it once", name, c.src.pos(first).Line)
			continue
		}
		seen[name] = key
		if !c.spend(key, len(name)) {
			return
		}
		fields[name] = c.value(value, depth+1)
	}
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && key.Style == 0
}

// merge adds the fields of other mappings; of several, the first one counts (https://yaml.org/type/merge.html). What is already there is
// replaced, as kubectl's parser does it.
func (c *converter) merge(n *yaml.Node, fields map[string]any, depth int) {
	for _, from := range sources(n) {
		if from == nil || from.Kind != yaml.MappingNode || depth > MaxDepth {
			c.fail(n, "merges what is no mapping; want an alias of one, or a list of those")
			return
		}
		c.mapping(from, fields, depth+1)
	}
}

// sources are the mappings that a merge takes its fields from, in the order in which they are written over each other.
func sources(n *yaml.Node) []*yaml.Node {
	f := followed(n)
	if f == nil || f.Kind != yaml.SequenceNode {
		return []*yaml.Node{f}
	}
	var all []*yaml.Node
	for i := len(f.Content) - 1; i >= 0; i-- {
		all = append(all, followed(f.Content[i]))
	}
	return all
}

// key returns the name that a key becomes in JSON.
func (c *converter) key(n *yaml.Node) (string, bool) {
	n = followed(n)
	if n == nil || n.Kind != yaml.ScalarNode {
		c.fail(n, "has a key that is no word; want a name")
		return "", false
	}
	if name, ok := keyName(n); ok {
		return name, true
	}
	c.fail(n, "key %.100q is no name; want a name", n.Value)
	return "", false
}

func keyName(n *yaml.Node) (string, bool) {
	v, err := scalar(n)
	if err != nil {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 32), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func (c *converter) scalar(n *yaml.Node) any {
	if !c.spend(n, len(n.Value)+2) {
		return nil
	}
	v, err := scalar(n)
	if err != nil {
		c.fail(n, "%v", err)
	}
	return v
}

// scalar returns the value of a scalar.
func scalar(n *yaml.Node) (any, error) {
	if n.Style&yaml.TaggedStyle != 0 {
		return tagged(n)
	}
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return n.Value, nil
	}
	v := plainScalar(n.Value)
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return nil, fmt.Errorf("%.100q is no number of JSON; want a finite number", n.Value)
	}
	return v, nil
}

// tagged is the value of a scalar that says of what type it is.
func tagged(n *yaml.Node) (any, error) {
	v := plainScalar(n.Value)
	var fits bool
	switch n.ShortTag() {
	case "!!str":
		return n.Value, nil
	case "!!int":
		_, signed := v.(int64)
		_, unsigned := v.(uint64)
		fits = signed || unsigned
	case "!!float":
		if i, ok := v.(int64); ok {
			v = float64(i)
		}
		var f float64
		f, fits = v.(float64)
		fits = fits && !math.IsNaN(f) && !math.IsInf(f, 0)
	case "!!bool":
		_, fits = v.(bool)
	case "!!null":
		fits = v == nil
	default:
		return nil, fmt.Errorf("tag %.100q is not known; want none", n.Tag)
	}
	if !fits {
		return nil, fmt.Errorf("%.100q is not what its tag %s says", n.Value, n.ShortTag())
	}
	return v, nil
}

// words are the plain scalars that are no text (resolveMap in go.yaml.in/yaml/v2/resolve.go).
var words = func() map[string]any {
	all := map[string]any{".nan": math.NaN(), ".NaN": math.NaN(), ".NAN": math.NaN()}
	for _, w := range strings.Fields("y Y yes Yes YES true True TRUE on On ON") {
		all[w] = true
	}
	for _, w := range strings.Fields("n N no No NO false False FALSE off Off OFF") {
		all[w] = false
	}
	for _, w := range []string{"", "~", "null", "Null", "NULL"} {
		all[w] = nil
	}
	for _, w := range strings.Fields(".inf .Inf .INF +.inf +.Inf +.INF") {
		all[w] = math.Inf(1)
	}
	for _, w := range strings.Fields("-.inf -.Inf -.INF") {
		all[w] = math.Inf(-1)
	}
	return all
}()

var floatRE = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// plainScalar reads a scalar that is not quoted, as resolve in go.yaml.in/yaml/v2/resolve.go does. A timestamp stays text.
func plainScalar(s string) any {
	if v, ok := words[s]; ok {
		return v
	}
	switch c := s[0]; {
	case c == '.':
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	case c == '+' || c == '-' || c >= '0' && c <= '9':
		if v, ok := number(strings.ReplaceAll(s, "_", "")); ok {
			return v
		}
	}
	return s
}

func number(s string) (any, bool) {
	if i, err := strconv.ParseInt(s, 0, 64); err == nil {
		return i, true
	}
	if u, err := strconv.ParseUint(s, 0, 64); err == nil {
		return u, true
	}
	if floatRE.MatchString(s) {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f, true
		}
	}
	return nil, false
}
