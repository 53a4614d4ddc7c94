package cluster_test

import (
	"os"
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
