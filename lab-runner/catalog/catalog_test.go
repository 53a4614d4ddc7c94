package catalog

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	goodYAML    = "title: A lab\nmanifests:\n  source: ./manifests\n"
	goodText    = "```\n$ echo hello\n```\n<!-- check: it holds -->\n"
	goodFeature = "Feature: f\n\n  @W1\n  Scenario: it holds\n    Then `echo hello` prints \"hello\"\n"
)

// tree makes a root with one lab, some of whose files are replaced.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{
		"labs/track/01-first/lab.yaml": goodYAML,
		"labs/track/01-first/text.md":  goodText,
		"features/track/first.feature": goodFeature,
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if text == "" {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLoad(t *testing.T) {
	root := tree(t, nil)
	labs, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(labs) != 1 || labs[0].Name != "first" || labs[0].Track != "track" || len(labs[0].Text) != 2 {
		t.Fatalf("%+v", labs)
	}
	if s := labs[0].Scenarios; len(s) != 1 || s[0].Name != "it holds" || s[0].Line != 4 || len(s[0].Tags) != 1 || s[0].Tags[0] != "W1" {
		t.Errorf("%+v", s)
	}
	if _, err := Pick(labs, []string{"other"}); err == nil || !strings.Contains(err.Error(), "there are first") {
		t.Errorf("a lab that is not there: %v", err)
	}
	sub := filepath.Join(root, "labs", "track")
	t.Chdir(sub)
	if found, err := Root(""); err != nil || found != root {
		t.Errorf("from %s: %s, %v", sub, found, err)
	}
}

func TestLabsThatWouldNotBeCheckedAreRefused(t *testing.T) {
	cases := []struct{ name, file, text, want string }{
		{"unknown field", "labs/track/01-first/lab.yaml", goodYAML + "colour: red\n", "colour"},
		{"a need that is no program", "labs/track/01-first/lab.yaml", goodYAML + "needs: [\"docker; rm\"]\n", "not the name of a program"},
		{"no title", "labs/track/01-first/lab.yaml", "manifests: {source: ./manifests}\n", "title is missing"},
		{"no source", "labs/track/01-first/lab.yaml", "title: x\n", "manifests.source"},
		{"no text", "labs/track/01-first/text.md", "", "text.md"},
		{"no command", "labs/track/01-first/text.md", "<!-- check: it holds -->\n", "no command"},
		{"check without scenario", "labs/track/01-first/text.md", goodText + "<!-- check: other -->\n", `no scenario "other"`},
		{"scenario without check", "features/track/first.feature", goodFeature + "\n  Scenario: more\n    Then x\n", `never checks "more"`},
		{"no feature", "features/track/first.feature", "", "first.feature"},
		{"empty feature", "features/track/first.feature", "Feature: f\n", "nothing would be checked"},
		{"scenario without steps", "features/track/first.feature", "Feature: f\n\n  Scenario: it holds\n", "has no steps"},
		{"same name twice", "features/track/first.feature", goodFeature + strings.TrimPrefix(goodFeature, "Feature: f\n"), "is there twice"},
		{"broken feature", "features/track/first.feature", "Scenario without feature\n", "Parser errors"},
		{"directory without number", "labs/track/second/lab.yaml", goodYAML, "is not named like"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := tree(t, map[string]string{c.file: c.text})
			if _, err := Load(root); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, wanted %q in it", err, c.want)
			}
		})
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("no labs at all: no error")
	}
}

func TestStepsOfAScenario(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.feature")
	text := "Feature: f\n  Background:\n    Given the first\n  Scenario: s\n    Then the second:\n      \"\"\"\n      a\n        b\n      \"\"\"\n    And the third\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Scenarios(path)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	want := []Step{{Text: "the first"}, {Text: "the second:", Doc: "a\n  b"}, {Text: "the third"}}
	if !slices.Equal(got[0].Steps, want) {
		t.Errorf("%q, want %q", got[0].Steps, want)
	}
}

func TestTheRepositorysLabsAreWhole(t *testing.T) {
	labs, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(labs) < 3 {
		t.Errorf("%d labs", len(labs))
	}
	for _, l := range labs {
		if _, err := os.Stat(filepath.Join(l.Dir, "manifests")); err != nil {
			t.Error(err)
		}
		for _, s := range l.Scenarios {
			if len(s.Tags) == 0 {
				t.Errorf("%s: scenario %q has no tag that names its row", l.Feature, s.Name)
			}
		}
	}
}
