// Package budget estimates what a request's body costs before it is decoded, and refuses what
// costs too much. The limit on bytes alone does not bound that: three bytes of JSON ("{},")
// become a container of a kilobyte, an alias of YAML becomes what it stands for, and a
// quantity of twelve characters becomes a number of a gigabyte.
//
// The checks read bytes, allocate nothing, and skip what is too short to cost much. They
// assume nothing about the body: the decoder refuses what is malformed.
package budget

import (
	"errors"
	"fmt"
)

// MaxValues is how many values a body may have: members of objects and elements of lists.
// An object in a list counts for objectCost, as it becomes a large struct however little
// is in it. The largest objects that tools make have a quarter of it.
const MaxValues = 100_000

const (
	objectCost = 10
	// short is the length up to which no body can cost MaxValues: an empty object in a list
	// takes three bytes in JSON, and two in protobuf.
	short = 2 * MaxValues / objectCost
)

// The refusals, for an answer of 413.
var (
	ErrTooManyValues = fmt.Errorf("it has more than %d values (fields and elements of lists; an object in a list counts for %d); split it into several objects", MaxValues, objectCost)
	ErrTooManyLines  = fmt.Errorf("the YAML has more than %d lines, commas and list items; send it as JSON, or split it into several objects", MaxValues)
	ErrExpansion     = errors.New("the aliases of the YAML stand for more than a body may have; send it as JSON, or without aliases")
)

// values counts.
type values int

func (v *values) add(n int) error {
	if *v += values(n); *v > MaxValues {
		return ErrTooManyValues
	}
	return nil
}

// JSON checks an object, or a patch that has the form of one.
func JSON(body []byte) error {
	if len(body) <= short {
		return nil
	}
	return countJSON(body, objectCost)
}

// JSONPatch checks a list of operations, which do not become structs.
func JSONPatch(body []byte) error {
	if len(body) <= short {
		return nil
	}
	return countJSON(body, 1)
}

// countJSON counts separators, and what objects in lists cost.
func countJSON(body []byte, object int) error {
	var count values
	var inList []bool // by depth
	for i := 0; i < len(body); i++ {
		n := 0
		switch body[i] {
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		case ',':
			n = 1
		case '{', '[':
			n = 1 // the first member or element has no comma
			if body[i] == '{' && len(inList) > 0 && inList[len(inList)-1] {
				n = object
			}
			if len(inList) == maxDepth {
				return nil // the decoder refuses it
			}
			inList = append(inList, body[i] == '[')
		case '}', ']':
			if len(inList) > 0 {
				inList = inList[:len(inList)-1]
			}
		}
		if n > 0 {
			if err := count.add(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxDepth is the limit of the decoders of JSON and YAML.
const maxDepth = 10_000
