package budget

import (
	"bytes"
	"fmt"
	"math"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxFields is how many fields with owners one map or list may have. The sets of fields are
// kept sorted as they grow, which takes quadratic time.
const MaxFields = 16_000

// ErrTooManyFields is answered with 413.
var ErrTooManyFields = fmt.Errorf("it has a map or list of more than %d fields whose owners are to be kept (metadata.managedFields); "+
	"split it into several objects, or create and update it without server-side apply", MaxFields)

// Fields checks decoded JSON of which each field gets an owner.
func Fields(v any) error {
	if squares(v) > MaxFields*MaxFields {
		return ErrTooManyFields
	}
	return nil
}

func squares(v any) int {
	sum := 0
	switch v := v.(type) {
	case map[string]any:
		sum = len(v) * len(v)
		for _, member := range v {
			sum += squares(member)
		}
	case []any:
		sum = len(v) * len(v)
		for _, element := range v {
			sum += squares(element)
		}
	}
	return sum
}

// ManagedFields checks sets of fields that a client wrote itself. As long as they are
// sorted, as the server writes them, they cost no more than to read them.
func ManagedFields(entries []metav1.ManagedFieldsEntry) error {
	left := MaxFields * MaxFields
	for i := range entries {
		f := entries[i].FieldsV1
		if f == nil {
			continue
		}
		if depth(f.Raw) > maxFieldsDepth {
			return ErrTooDeep
		}
		if len(f.Raw) > short {
			if left -= disorder(f.Raw); left < 0 {
				return ErrTooManyFields
			}
		}
	}
	return nil
}

// maxFieldsDepth is how deep managed fields may be nested; no kind's fields are a third of
// that.
const maxFieldsDepth = 100

// ErrTooDeep is answered with 413.
var ErrTooDeep = fmt.Errorf("metadata.managedFields are nested more than %d deep", maxFieldsDepth)

// depth returns how deep the objects and lists in a text of JSON are nested.
func depth(text []byte) int {
	deepest, at := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			at++
			deepest = max(deepest, at)
		case '}', ']':
			at--
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}

// disorder sums up, for the objects in a text, their members times those that come before
// one that they should follow.
func disorder(text []byte) int {
	type object struct {
		last         []byte
		members, bad int
	}
	sum := 0
	open := []object{{}}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open = append(open, object{})
		case '}':
			if len(open) > 1 {
				o := open[len(open)-1]
				sum += min(o.members*o.bad, math.MaxInt32)
				open = open[:len(open)-1]
			}
		case '"': // every string is a name: the values are objects
			end := i + 1
			for end < len(text) && text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			name := text[i:min(end, len(text))]
			o := &open[len(open)-1]
			o.members++
			if bytes.Compare(name, o.last) < 0 {
				o.bad++
			}
			o.last, i = name, end
		}
	}
	return sum
}
