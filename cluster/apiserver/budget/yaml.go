package budget

import (
	"bytes"
	"fmt"

	yaml "sigs.k8s.io/yaml/goyaml.v2"
)

// YAML checks a body of YAML, which is to be no longer than most bytes when its aliases
// are resolved.
func YAML(body []byte, most int) error {
	if len(body) > short {
		if err := countYAML(body); err != nil {
			return err
		}
	}
	if bytes.IndexByte(body, '&') < 0 || bytes.IndexByte(body, '*') < 0 {
		return nil
	}
	// The parser bounds how many nodes aliases make, not what the nodes hold: strings are
	// shared here, and copied when this becomes JSON.
	var v any
	if yaml.Unmarshal(body, &v) != nil {
		return nil //nolint:nilerr // the decoder reports why
	}
	s := size{left: most, values: MaxValues}
	return s.take(v)
}

// countYAML counts what can begin a node: a line, an item, what is behind a comma. In
// block scalars it counts too much.
func countYAML(body []byte) error {
	count := 0
	for i, c := range body {
		switch c {
		case '\n', ',':
			count++
		case '-', '?':
			if i+1 < len(body) && (body[i+1] == ' ' || body[i+1] == '\n' || body[i+1] == '\t') {
				count++
			}
		}
	}
	if count > MaxValues {
		return ErrTooManyLines
	}
	return nil
}

// size is what is left of a limit.
type size struct{ left, values int }

func (s *size) take(v any) error {
	s.values--
	switch v := v.(type) {
	case map[any]any:
		for key, value := range v {
			if err := s.take(key); err != nil {
				return err
			}
			s.values++ // a member is one value
			if err := s.take(value); err != nil {
				return err
			}
		}
	case []any:
		for _, value := range v {
			if err := s.take(value); err != nil {
				return err
			}
		}
	case string:
		s.left -= len(v) + 2
	default:
		s.left -= len(fmt.Sprint(v))
	}
	s.left -= 2
	if s.left < 0 || s.values < 0 {
		return ErrExpansion
	}
	return nil
}
