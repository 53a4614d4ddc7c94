package containerspec

import (
	"fmt"
	"strings"
)

// maxArguments bounds the bytes of a container's variables, and of its command and
// arguments: Linux starts a program with no more (execve(2)). References can double what
// they refer to, so that thirty variables expand to gigabytes.
const maxArguments = 6 << 20

func errArguments(what string) error {
	return fmt.Errorf("%s would have more than %d bytes, with which no program starts", what, maxArguments)
}

// expand replaces $(NAME) by the value of the variable, in commands, arguments and values
// of the environment. $$ is a dollar sign; a reference to an unknown name stays.
func expand(s string, lookup func(name string) (string, bool)) (string, error) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			out.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				out.WriteString(s[i:])
				return out.String(), nil
			}
			if value, ok := lookup(s[i+2 : i+end]); ok {
				if out.Len()+len(value) > maxArguments {
					return "", errArguments("what references stand for")
				}
				out.WriteString(value)
			} else {
				out.WriteString(s[i : i+end+1])
			}
			i += end
		default:
			out.WriteByte('$')
		}
	}
	return out.String(), nil
}

// ExpandAll returns what Expand returns for each.
func ExpandAll(in []string, lookup func(string) (string, bool)) ([]string, error) {
	if len(in) == 0 {
		return nil, nil
	}
	out, size := make([]string, len(in)), 0
	for i, s := range in {
		var err error
		if out[i], err = expand(s, lookup); err != nil {
			return nil, err
		}
		if size += len(out[i]) + 1; size > maxArguments {
			return nil, errArguments("command and arguments")
		}
	}
	return out, nil
}

// ExpandStrictly is expand, but a reference to an unknown name is an error.
func ExpandStrictly(s string, lookup func(string) (string, bool)) (string, error) {
	missing := ""
	out, err := expand(s, func(name string) (string, bool) {
		value, ok := lookup(name)
		if !ok && missing == "" {
			missing = name
		}
		return value, ok
	})
	if missing != "" {
		return "", fmt.Errorf("missing value for %q", missing)
	}
	return out, err
}
