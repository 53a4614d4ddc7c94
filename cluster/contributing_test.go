package cluster_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Each file, package and function that the glossary of CONTRIBUTING.md names must exist.
func TestGlossaryNamesExist(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, glossary, _ := strings.Cut(string(text), "| word |")
	names := 0
	for line := range strings.Lines(glossary) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1) {
			names++
			if strings.Contains(m[1], "/") {
				if _, err := os.Stat("../" + m[1]); err != nil {
					t.Errorf("CONTRIBUTING.md: %v", err)
				}
			} else if !declared(t, "", m[1]) {
				t.Errorf("CONTRIBUTING.md names %s, but no such function or type is in the code", m[1])
			}
		}
	}
	if names < 40 {
		t.Fatalf("found only %d names in the glossary", names)
	}
}

// declared reports whether a function, a method of a type that receiver begins, or a type is in the code.
func declared(t *testing.T, receiver, name string) bool {
	t.Helper()
	pattern := `^(func (\([a-zA-Z_]* ?\*?` + receiver + `[A-Za-z]*\) )?|type )` + name + `\b`
	return exec.CommandContext(t.Context(), "grep", "-rqE", "--include=*.go", "--exclude=*_test.go", pattern, ".").Run() == nil
}
