package cluster_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The life of a pod in README.md names functions of the code; each must exist.
func TestReadmeNamesFunctionsThatExist(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, life, _ := strings.Cut(string(text), "## The life of a pod")
	life, _, _ = strings.Cut(life, "\n## ")
	names := regexp.MustCompile("`(?:[a-z]+\\.)?(?:([a-zA-Z]+)\\.)?([a-zA-Z]+)`").FindAllStringSubmatch(life, -1)
	if len(names) < 20 {
		t.Fatalf("found only %d names in the life of a pod", len(names))
	}
	notFunctions := map[string]bool{"stages": true, "replicas": true, "apiserver": true, "nodeName": true}
	for _, n := range names {
		receiver, name := n[1], n[2]
		if notFunctions[name] {
			continue
		}
		if !declared(t, receiver, name) {
			t.Errorf("README.md names %s, but no such function or type is in the code", n[0])
		}
	}
}

// A paragraph of a lab that begins with "Inside:" names functions and types of the code as
// `package.Name` or `package.Type.Name`; each must be in that package.
func TestLabsNameFunctionsThatExist(t *testing.T) {
	dirs := map[string][]string{} // of the packages, by name
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs[d.Name()] = append(dirs[d.Name()], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	texts, err := filepath.Glob("../labs/*/*/text.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([a-z]+)\\.(?:([A-Za-z]+)\\.)?([A-Za-z]+)`")
	names := 0
	for _, path := range texts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for paragraph := range strings.SplitSeq(string(text), "\n\n") {
			if !strings.HasPrefix(paragraph, "Inside:") {
				continue
			}
			for _, m := range quoted.FindAllStringSubmatch(paragraph, -1) {
				names++
				if !declaredIn(t, dirs[m[1]], m[2], m[3]) {
					t.Errorf("%s names %s, which the code does not have", path, m[0])
				}
			}
		}
	}
	if names < 40 {
		t.Fatalf("found only %d names in the labs", names)
	}
}

// declaredIn reports whether the files of one of the directories declare a function, a method of the type, or a type.
func declaredIn(t *testing.T, dirs []string, of, name string) bool {
	t.Helper()
	pattern := `^(func |type )` + name + `\b`
	if of != "" {
		pattern = `^func \([a-zA-Z_]* ?\*?` + of + `\) ` + name + `\b`
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) > 0 && exec.CommandContext(t.Context(), "grep", append([]string{"-qE", pattern}, files...)...).Run() == nil {
			return true
		}
	}
	return false
}
