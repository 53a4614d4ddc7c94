package jsonpatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sort"
)

// maxDepth is how deeply values may nest, as encoding/json has it.
const maxDepth = 10000

var errDepth = errors.New("exceeded max depth")

// node is one value of a document. A container is text until something inside it is
// needed; then it is a map or a list, and the text no longer counts.
type node struct {
	raw  []byte
	obj  map[string]*node
	list []*node
	open bool // obj or list holds the value
}

func (n *node) isNull() bool   { return n == nil || !n.open && n.raw[0] == 'n' }
func (n *node) isObject() bool { return n.starts('{', n != nil && n.obj != nil) }
func (n *node) isList() bool   { return n.starts('[', n != nil && n.obj == nil) }

func (n *node) starts(c byte, opened bool) bool {
	if n == nil {
		return false
	}
	if n.open {
		return opened
	}
	return n.raw[0] == c
}

// newNode returns a node of valid JSON.
func newNode(text []byte) *node {
	i := space(text, 0)
	return &node{raw: text[i:skip(text, i)]}
}

// expand turns the text of a container into nodes, as deep as levels.
func (n *node) expand(w *work, levels int) error {
	if n.open || n.raw[0] != '{' && n.raw[0] != '[' {
		return nil
	}
	if err := w.spend(len(n.raw)); err != nil {
		return err
	}
	parsed, _ := parse(n.raw, 0, levels)
	*n = *parsed
	return nil
}

// all is every level of a text; valid JSON has at most maxDepth.
const all = math.MaxInt

// parse reads the value at i, which is valid, and returns where it ends.
func parse(d []byte, i, levels int) (*node, int) {
	if levels == 0 || d[i] != '{' && d[i] != '[' {
		end := skip(d, i)
		return &node{raw: d[i:end]}, end
	}
	n := &node{open: true}
	closing := byte(']')
	if d[i] == '{' {
		n.obj, closing = map[string]*node{}, '}'
	}
	i = space(d, i+1)
	for d[i] != closing {
		key := ""
		if n.obj != nil {
			end := skip(d, i)
			key = unquote(d[i:end])
			i = space(d, space(d, end)+1) // the colon
		}
		var child *node
		child, i = parse(d, i, levels-1)
		if n.obj != nil {
			n.obj[key] = child
		} else {
			n.list = append(n.list, child)
		}
		if i = space(d, i); d[i] == ',' {
			i = space(d, i+1)
		}
	}
	return n, i + 1
}

func space(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\t' || d[i] == '\r') {
		i++
	}
	return i
}

// skip returns where the value that begins at i ends.
func skip(d []byte, i int) int {
	depth := 0
	for ; i < len(d); i++ {
		switch d[i] {
		case '"':
			for i++; d[i] != '"'; i++ {
				if d[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i // a number or word ends where its container does
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

func unquote(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text[1 : len(text)-1])
	}
	var s string
	_ = json.Unmarshal(text, &s) // it is valid
	return s
}

// append writes the value as JSON.
func (n *node) append(b []byte, depth int) ([]byte, error) {
	if n == nil {
		return append(b, "null"...), nil
	}
	if !n.open {
		return append(b, n.raw...), nil
	}
	if depth > maxDepth {
		return nil, errDepth
	}
	var err error
	if n.obj == nil {
		b = append(b, '[')
		for i, child := range n.list {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = child.append(b, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	keys := make([]string, 0, len(n.obj))
	for key := range n.obj {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		quoted, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		b = append(append(b, quoted...), ':')
		if b, err = n.obj[key].append(b, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// equal compares two values; it opens both.
func equal(w *work, a, b *node, depth int) (bool, error) {
	switch {
	case depth > maxDepth:
		return false, errDepth
	case a.isNull() || b.isNull():
		return a.isNull() && b.isNull(), w.spend(1)
	case a.isObject() != b.isObject() || a.isList() != b.isList():
		return false, nil
	case !a.isObject() && !a.isList():
		return equalScalar(a.raw, b.raw), w.spend(1 + len(b.raw))
	}
	for _, n := range []*node{a, b} {
		if err := n.expand(w, all); err != nil {
			return false, err
		}
	}
	if err := w.spend(1); err != nil || len(a.obj) != len(b.obj) || len(a.list) != len(b.list) {
		return false, err
	}
	for key, child := range a.obj {
		other, ok := b.obj[key]
		if !ok {
			return false, nil
		}
		if same, err := equal(w, child, other, depth+1); !same || err != nil {
			return false, err
		}
	}
	for i, child := range a.list {
		if same, err := equal(w, child, b.list[i], depth+1); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// equalScalar compares numbers as they are written, and strings by what they say.
func equalScalar(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	return a[0] == '"' && b[0] == '"' && (slices.Contains(a, '\\') || slices.Contains(b, '\\')) && unquote(a) == unquote(b)
}
