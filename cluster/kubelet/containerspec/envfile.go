package containerspec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// variableIn returns the value of a variable in an environment file, "" if it is not there. The
// format is upstream's part of the shell's:
//
//	NAME='value' # a comment
//
// A value may have several lines; nothing in it is expanded. Blank lines and lines that begin
// with # are skipped, and so is white space before a name. White space after the = makes the
// value empty, as in a shell. What comes after the variable is not read.
func variableIn(text []byte, name string) (string, error) {
	lines := bufio.NewScanner(bytes.NewReader(text)) // a line has at most 64 KiB
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found, rest, err := assignment(line)
		if err != nil {
			return "", fmt.Errorf("invalid environment variable format at line %d: %w", n, err)
		}
		value := ""
		if quoted, ok := strings.CutPrefix(rest, "'"); ok {
			start := n
			for !strings.Contains(quoted, "'") {
				value += quoted + "\n"
				if !lines.Scan() {
					return "", fmt.Errorf("invalid environment variable format starting at line %d: unclosed single quote", start)
				}
				n++
				quoted = lines.Text()
			}
			end, after, _ := strings.Cut(quoted, "'")
			if after = strings.TrimLeft(after, " \t"); after != "" && !strings.HasPrefix(after, "#") {
				return "", fmt.Errorf("invalid environment variable format at line %d: unexpected content after closing quote", n)
			}
			value += end
		}
		if found == name {
			return value, nil
		}
	}
	return "", lines.Err()
}

// assignment splits a line into a name and what follows the =: a quoted value, or white space.
func assignment(line string) (name, rest string, err error) {
	name, rest, ok := strings.Cut(line, "=")
	switch {
	case !ok:
		return "", "", errors.New("missing '='")
	case strings.TrimRight(name, " \t") == "":
		return "", "", errors.New("empty variable name")
	case strings.TrimRight(name, " \t") != name:
		return "", "", errors.New("whitespace before '=' is not allowed")
	case !strings.HasPrefix(rest, "'") && strings.TrimLeft(rest, " \t") == rest:
		return "", "", errors.New("value must be enclosed in single quotes")
	}
	return name, rest, nil
}
