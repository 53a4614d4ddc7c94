package containerspec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestVariableInAFile(t *testing.T) {
	const none = "invalid environment variable format "
	for _, c := range []struct{ text, want string }{
		{"A='1'\n", "1"},
		{"# a comment\n\n  \t\n \tA='1' # the one\nA='2'\n", "1"},
		{"B='x'\nA='$B \\n \"'#\n", `$B \n "`},
		{"A='one\n\n  two'\t\r\n", "one\n\n  two"},
		{"B='it has A=\nA='\nA='after'", "after"},
		{"A= '1'", ""},
		{"A=\t\nA='1'", ""},
		{"A=''", ""},
		{"B='1'", ""},
		{"", ""},
		{"A='1'\nwrong", "1"},
		{"wrong\nA='1'", none + "at line 1: missing '='"},
		{"\n='1'", none + "at line 2: empty variable name"},
		{"A ='1'", none + "at line 1: whitespace before '=' is not allowed"},
		{"A=1", none + "at line 1: value must be enclosed in single quotes"},
		{"A=\"1\"", none + "at line 1: value must be enclosed in single quotes"},
		{"A=", none + "at line 1: value must be enclosed in single quotes"},
		{"B='x\ny' z\nA='1'", none + "at line 2: unexpected content after closing quote"},
		{"B='x'\nA='1\n2", none + "starting at line 2: unclosed single quote"},
		{"A='" + strings.Repeat("x", 1<<16) + "'", "bufio.Scanner: token too long"},
	} {
		got, err := variableIn([]byte(c.text), "A")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%.40q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestEnvironmentFromFiles(t *testing.T) {
	yes := true
	e := &EnvContext{Pod: &v1.Pod{}, File: func(volume, path string) ([]byte, error) {
		if volume != "v" || path != "a/env" {
			return nil, errors.New("couldn't parse env file: no such file or directory")
		}
		return []byte("A='1'\nE=''\n"), nil
	}}
	for _, c := range []struct {
		ref  v1.FileKeySelector
		want string
	}{
		{v1.FileKeySelector{VolumeName: "v", Path: "a/env", Key: "A"}, "[X=1 Y=1]"},
		{v1.FileKeySelector{VolumeName: "v", Path: "a/env", Key: "E"}, `environment variable key "E" not found in file "a/env"`},
		{v1.FileKeySelector{VolumeName: "v", Path: "a/env", Key: "B"}, `environment variable key "B" not found in file "a/env"`},
		{v1.FileKeySelector{VolumeName: "v", Path: "a/env", Key: "B", Optional: &yes}, "[Y=$(X)]"},
		{v1.FileKeySelector{VolumeName: "v", Path: "none", Key: "B", Optional: &yes}, "couldn't parse env file: no such file or directory"},
	} {
		e.Container = &v1.Container{Env: []v1.EnvVar{{Name: "X", ValueFrom: &v1.EnvVarSource{FileKeyRef: &c.ref}}, {Name: "Y", Value: "$(X)"}}}
		env, _, err := Environment(t.Context(), e)
		got := fmt.Sprint(env)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.ref, got, c.want)
		}
	}
}
