// Package catalog finds and validates the labs on disk: labs/TRACK/NN-NAME with lab.yaml
// and text.md, and features/TRACK/NAME.feature with exactly the scenarios that the text
// names as checks. It runs nothing. The caller passes the directory that holds labs/ and
// features/, or uses Root to find it.
package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	gherkin "github.com/cucumber/gherkin/go/v26"
	"sigs.k8s.io/yaml"

	"wheelhouse/lab-runner/script"
)

// Lab is one lab, read and validated.
type Lab struct {
	Name      string // as on the command line: the directory's name without its number
	Track     string
	Title     string
	About     string
	Manifests Manifests
	Needs     []string // programs that the commands use beside kubectl, curl and the shell's builtins
	Cleanup   string   // commands that remove what is outside the lab's namespace; may be empty
	Dir       string   // of lab.yaml
	TextFile  string
	Text      []script.Item
	Feature   string // file
	Scenarios []Scenario
}

// Manifests is the source of the lab's manifests, in the form of package fetch.
type Manifests struct {
	Source   string `json:"source"`
	Checksum string `json:"checksum,omitempty"`
}

// Scenario is one check.
type Scenario struct {
	Name  string
	Line  int
	Tags  []string // without @
	Steps []Step   // those of the feature's background first
}

// Step is one sentence of a scenario, without its keyword.
type Step struct {
	Text string
	Doc  string // the block of text below it; may be empty
}

// file is lab.yaml.
type file struct {
	Title     string    `json:"title"`
	About     string    `json:"about"`
	Manifests Manifests `json:"manifests"`
	Needs     []string  `json:"needs"`
	Cleanup   string    `json:"cleanup"`
}

// Root returns the directory that holds labs/ and features/: given if it is not empty, else
// the current directory or the nearest above it, else the nearest above the running program,
// else ../share/wheelhouse beside the program's directory, where packages have it.
func Root(given string) (string, error) {
	isRoot := func(dir string) bool {
		for _, sub := range []string{"labs", "features"} {
			if info, err := os.Stat(filepath.Join(dir, sub)); err != nil || !info.IsDir() {
				return false
			}
		}
		return true
	}
	if given != "" {
		if !isRoot(given) {
			return "", fmt.Errorf("%s holds no labs: name the directory that has labs/ and features/ in it", given)
		}
		return filepath.Abs(given)
	}
	var starts []string
	if cwd, err := os.Getwd(); err == nil {
		starts = append(starts, cwd)
	}
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			starts = append(starts, filepath.Dir(exe), filepath.Join(filepath.Dir(exe), "../share/wheelhouse"))
		}
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			if isRoot(dir) {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("no labs found here or beside the program: name the directory that has labs/ and features/ in it with --labs")
}

// Load reads all labs under root, in the order of their tracks and numbers.
func Load(root string) ([]*Lab, error) {
	found, err := filepath.Glob(filepath.Join(root, "labs", "*", "*", "lab.yaml"))
	if err != nil {
		return nil, err
	}
	sort.Strings(found)
	var labs []*Lab
	seen := map[string]string{}
	for _, path := range found {
		lab, err := read(root, filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if other := seen[lab.Name]; other != "" {
			return nil, fmt.Errorf("%s: a lab %s is in %s already", path, lab.Name, other)
		}
		seen[lab.Name] = path
		labs = append(labs, lab)
	}
	if len(labs) == 0 {
		return nil, fmt.Errorf("no lab under %s", filepath.Join(root, "labs"))
	}
	return labs, nil
}

// Pick returns the named labs, or all of them when no name is given.
func Pick(labs []*Lab, names []string) ([]*Lab, error) {
	if len(names) == 0 {
		return labs, nil
	}
	var out []*Lab
	for _, name := range names {
		i := 0
		for i < len(labs) && labs[i].Name != name {
			i++
		}
		if i == len(labs) {
			var known []string
			for _, l := range labs {
				known = append(known, l.Name)
			}
			return nil, fmt.Errorf("no lab %s; there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, labs[i])
	}
	return out, nil
}

var (
	labDir  = regexp.MustCompile(`^[0-9]{2}-([a-z][a-z0-9-]*)$`)
	program = regexp.MustCompile(`^[a-z][a-z0-9.-]*$`)
)

func read(root, dir string) (*Lab, error) {
	m := labDir.FindStringSubmatch(filepath.Base(dir))
	if m == nil {
		return nil, fmt.Errorf("the directory %s is not named like 01-name", filepath.Base(dir))
	}
	text, err := os.ReadFile(filepath.Join(dir, "lab.yaml"))
	if err != nil {
		return nil, err
	}
	var f file
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return nil, err
	}
	if f.Title == "" {
		return nil, errors.New("title is missing")
	}
	if f.Manifests.Source == "" {
		return nil, errors.New("manifests.source is missing: './manifests', or an address")
	}
	for _, need := range f.Needs {
		if !program.MatchString(need) {
			return nil, fmt.Errorf("needs: %q is not the name of a program", need)
		}
	}
	lab := &Lab{
		Name: m[1], Track: filepath.Base(filepath.Dir(dir)), Title: f.Title, About: f.About, Manifests: f.Manifests, Needs: f.Needs, Cleanup: f.Cleanup,
		Dir: dir, TextFile: filepath.Join(dir, "text.md"),
	}
	lab.Feature = filepath.Join(root, "features", lab.Track, lab.Name+".feature")
	prose, err := os.ReadFile(lab.TextFile)
	if err != nil {
		return nil, err
	}
	if lab.Text, err = script.Parse(string(prose)); err != nil {
		return nil, fmt.Errorf("text.md: %w", err)
	}
	if lab.Scenarios, err = Scenarios(lab.Feature); err != nil {
		return nil, err
	}
	return lab, lab.match()
}

// match returns an error unless the text's checks and the feature's scenarios are the same: a
// check without a scenario would check nothing, and a scenario without a check never runs.
func (l *Lab) match() error {
	named := map[string]bool{}
	for _, item := range l.Text {
		if item.Kind == script.Check {
			named[item.Text] = true
			if _, ok := l.Scenario(item.Text); !ok {
				return fmt.Errorf("text.md line %d: %s has no scenario %q", item.Line, l.Feature, item.Text)
			}
		}
	}
	for _, s := range l.Scenarios {
		if !named[s.Name] {
			return fmt.Errorf("%s line %d: text.md never checks %q", l.Feature, s.Line, s.Name)
		}
	}
	return nil
}

// Scenario returns the scenario of that name.
func (l *Lab) Scenario(name string) (Scenario, bool) {
	for _, s := range l.Scenarios {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// Scenarios reads a feature file. A file without scenarios is an error: it checks nothing.
func Scenarios(path string) ([]Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	id := 0
	next := func() string { id++; return strconv.Itoa(id) }
	doc, err := gherkin.ParseGherkinDocument(f, next)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	steps := map[string][]Step{} // by the scenario's node
	for _, p := range gherkin.Pickles(*doc, path, next) {
		for _, s := range p.Steps {
			step := Step{Text: s.Text}
			if s.Argument != nil && s.Argument.DocString != nil {
				step.Doc = s.Argument.DocString.Content
			}
			steps[p.AstNodeIds[0]] = append(steps[p.AstNodeIds[0]], step)
		}
	}
	var out []Scenario
	seen := map[string]bool{}
	if doc.Feature != nil {
		for _, child := range doc.Feature.Children {
			if child.Scenario == nil {
				continue
			}
			s := Scenario{Name: child.Scenario.Name, Line: int(child.Scenario.Location.Line), Steps: steps[child.Scenario.Id]}
			for _, tag := range append(doc.Feature.Tags, child.Scenario.Tags...) {
				s.Tags = append(s.Tags, strings.TrimPrefix(tag.Name, "@"))
			}
			if seen[s.Name] || len(child.Scenario.Steps) == 0 {
				return nil, fmt.Errorf("%s line %d: scenario %q has no steps, or its name is there twice", path, s.Line, s.Name)
			}
			seen[s.Name] = true
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no scenario in it, so nothing would be checked", path)
	}
	return out, nil
}
