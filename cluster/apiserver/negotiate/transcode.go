package negotiate

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Transcode returns the JSON of an object as YAML, or indented.
func Transcode(data []byte, m *Media, pretty bool) ([]byte, error) {
	switch {
	case m == YAML:
		return yaml.JSONToYAML(data)
	case pretty:
		var buf bytes.Buffer
		if err := json.Indent(&buf, data, "", "  "); err != nil {
			return nil, fmt.Errorf("indenting an answer: %w", err)
		}
		buf.WriteByte('\n')
		return buf.Bytes(), nil
	}
	return data, nil
}

// Measure returns how many values a JSON text has, and how long it is when each of them is
// in a line of its own.
func Measure(data []byte) (values, indented int) {
	depth := 0
	indented = len(data)
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			values++
			indented += 1 + 2*depth
		case '}', ']':
			depth--
			indented += 1 + 2*depth
		case ',':
			values++
			indented += 1 + 2*depth
		}
	}
	return values, indented
}
