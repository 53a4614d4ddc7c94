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
	goodText    = "## One\n```\n$ echo hello\n```\n<!-- check: it holds -->\n"
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
	if len(labs) != 1 || labs[0].Name != "first" || labs[0].Track != "track" || len(labs[0].Text) != 3 || len(labs[0].Steps) != 1 || labs[0].Namespace != "lab-first" {
		t.Fatalf("%+v", labs)
	}
	if s := labs[0].Scenarios; len(s) != 1 || s[0].Name != "it holds" || s[0].Line != 4 || len(s[0].Tags) != 1 || s[0].Tags[0] != "W1" {
		t.Errorf("%+v", s)
	}
	if _, err := Pick(labs, []string{"other"}); err == nil || !strings.Contains(err.Error(), "no lab other: 'lab list' lists the labs") {
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
		{"a requirement that is none", "labs/track/01-first/lab.yaml", goodYAML + "requires: [dockr]\n", "neither a lab (TRACK/NAME) nor one of docker"},
		{"a lab that is not there", "labs/track/01-first/lab.yaml", goodYAML + "requires: [track/zeroth]\n", "requires: no lab track/zeroth"},
		{"too many minutes", "labs/track/01-first/lab.yaml", goodYAML + "minutes: 1000\n", "not between 1 and 240"},
		{"no step", "labs/track/01-first/text.md", "prose\n", "no step"},
		{"a comment that is misspelt", "labs/track/01-first/text.md", goodText + "<!-- hnit: x -->\n", "text.md: line 6: a comment may not begin with 'hnit:'"},
		{"one check twice", "labs/track/01-first/text.md", goodText + "<!-- holds: it holds -->\n", "is checked twice"},
		{"a script without step", "labs/track/01-first/solve/two.sh", "true", "solve/two.sh is the script of no step"},
		{"no title", "labs/track/01-first/lab.yaml", "manifests: {source: ./manifests}\n", "title is missing"},
		{"no source", "labs/track/01-first/lab.yaml", "title: x\n", "manifests.source"},
		{"no text", "labs/track/01-first/text.md", "", "text.md"},
		{"no command", "labs/track/01-first/text.md", "## One\n<!-- check: it holds -->\n", "no command"},
		{"check without scenario", "labs/track/01-first/text.md", goodText + "<!-- check: other -->\n", `no scenario "other"`},
		{"scenario without check", "features/track/first.feature", goodFeature + "\n  Scenario: more\n    Then x\n", `never checks "more"`},
		{"no feature", "features/track/first.feature", "", "first.feature"},
		{"empty feature", "features/track/first.feature", "Feature: f\n", "nothing would be checked"},
		{"scenario without steps", "features/track/first.feature", "Feature: f\n\n  Scenario: it holds\n", "has no steps"},
		{"same name twice", "features/track/first.feature", goodFeature + strings.TrimPrefix(goodFeature, "Feature: f\n"), "is there twice"},
		{"broken feature", "features/track/first.feature", "Scenario without feature\n", "Parser errors"},
		{"a track with a terminal escape", "labs/a\x1b[2J/01-first/lab.yaml", goodYAML, "is not named like a-name"},
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

// Labs of one name in two tracks are distinct, and have namespaces of their own.
func TestNames(t *testing.T) {
	root := tree(t, map[string]string{
		"labs/other/01-first/lab.yaml":     goodYAML + "requires: [track/first, docker]\nminutes: 5\n",
		"labs/other/01-first/text.md":      strings.Replace(goodText, "## One", "## One\n```\n$ true\n```\n<!-- check: so -->\n<!-- hint: h -->\n\n## Two", 1),
		"labs/other/01-first/setup/two.sh": "echo trouble\n",
		"labs/other/01-first/solve/two.sh": "echo none\n",
		"features/other/first.feature":     goodFeature + "\n  Scenario: so\n    Then x\n",
		"labs/other/02-own/lab.yaml":       goodYAML,
		"labs/other/02-own/text.md":        goodText,
		"features/other/own.feature":       goodFeature,
	})
	labs, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"track/first": "lab-track-first", "other/first": "lab-other-first", "own": "lab-own", "other/own": "lab-own",
		"first": "several labs: say which of other/first, track/first", "third": "no lab third: 'lab list' lists the labs",
	} {
		picked, err := Pick(labs, []string{name})
		if got := ""; err == nil {
			if got = picked[0].Namespace; got != want {
				t.Errorf("%s is in %s, want %s", name, got, want)
			}
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	for name, want := range map[string]int{"other/first": -1, "other/first/two": 1, "own/one": 0} {
		if _, step, err := Find(labs, name); err != nil || step != want {
			t.Errorf("%s is step %d, %v; want %d", name, step, err, want)
		}
	}
	l := labs[0]
	if !l.Has("docker") || !slices.Equal(l.RequiredLabs(), []string{"track/first"}) || l.Minutes != 5 {
		t.Errorf("%+v", l)
	}
	if two := l.Steps[1]; two.Setup != "echo trouble\n" || two.Solution()[0].Text != "echo none\n" || l.Steps[0].Solution()[0].Text != "true" {
		t.Errorf("%+v", two)
	}
	var run []string
	for _, item := range l.Text {
		run = append(run, strings.TrimSpace(item.Text))
	}
	if want := []string{"One", "true", "so", "Two", "echo trouble", "echo hello", "echo none", "it holds"}; !slices.Equal(run, want) {
		t.Errorf("it is run as %q, want %q", run, want)
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
	want := []Sentence{{Text: "the first"}, {Text: "the second:", Doc: "a\n  b"}, {Text: "the third"}}
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

// The list of tracks names tracks that exist, and decides the order.
func TestOrderOfTracks(t *testing.T) {
	labs, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	var tracks []string
	for _, l := range labs {
		if !slices.Contains(tracks, l.Track) {
			tracks = append(tracks, l.Track)
		}
	}
	if want := []string{"workshop", "trial", "pi", "monolith", "notes", "drills", "hard-way"}; !slices.Equal(tracks, want) {
		t.Errorf("tracks: %v, want %v", tracks, want)
	}
}
