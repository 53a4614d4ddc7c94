package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

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
	Minutes   int      // that a learner takes; 0: not said
	Requires  []string // labs by TRACK/NAME, and words of Requirements
	Images    []string // that the lab's pods and containers run
	Cleanup   string   // commands that remove what is outside the lab's namespace; may be empty
	Namespace string
	Dir       string // of lab.yaml
	TextFile  string
	Intro     string // Markdown before the first step
	Steps     []Step
	Text      []script.Item // of all steps, in order, with their setup and solutions
	Feature   string        // file
	Scenarios []Scenario
	// Foreign labs neither came with the program nor are the learner's own: their objects stay in their namespace. The
	// caller sets it.
	Foreign bool
	place   string
}

// Step is one step of a lab.
type Step struct {
	script.Step
	Setup string // the script that makes the situation which the step is about; may be empty
	Solve string // the script that solves the step, if the commands of the text do not
}

// Solution returns what solves the step: its script, or the commands of the text.
func (s *Step) Solution() []script.Item {
	if s.Solve != "" {
		return []script.Item{{Kind: script.Command, Line: s.Line, Text: s.Solve}}
	}
	return s.Commands
}

// items returns the step as it is run from beginning to end.
func (s *Step) items() []script.Item {
	out := []script.Item{{Kind: script.Heading, Line: s.Line, Text: s.Title}}
	if s.Setup != "" {
		out = append(out, script.Item{Kind: script.Command, Line: s.Line, Text: s.Setup})
	}
	out = append(out, s.Commands...)
	if s.Solve != "" {
		out = append(out, script.Item{Kind: script.Command, Line: s.Line, Text: s.Solve})
	}
	return append(out, s.Checks...)
}

// ID returns TRACK/NAME.
func (l *Lab) ID() string { return l.Track + "/" + l.Name }

// Root returns the tree that the lab is in: the directory of labs/ and features/.
func (l *Lab) Root() string { return filepath.Dir(filepath.Dir(filepath.Dir(l.Dir))) }

// Place is what a directory of the lab's files is called: NAME, or TRACK-NAME if several tracks have the name.
func (l *Lab) Place() string { return l.place }

// Key is what the lab's progress is kept by: its ID, and for a foreign lab, which may have any ID, its tree as well.
func (l *Lab) Key() string {
	if l.Foreign {
		return l.ID() + " in " + l.Root()
	}
	return l.ID()
}

// Has reports whether the lab requires that.
func (l *Lab) Has(requirement string) bool { return slices.Contains(l.Requires, requirement) }

// Alone reports whether the lab changes or looks at more than its namespace, so that no other may run on the cluster
// beside it.
func (l *Lab) Alone() bool {
	return l.Cleanup != "" || slices.ContainsFunc([]string{"docker", "cluster-admin", "node-shell"}, l.Has)
}

// RequiredLabs returns the labs to do before this one.
func (l *Lab) RequiredLabs() []string {
	return slices.DeleteFunc(slices.Clone(l.Requires), func(r string) bool { return slices.Contains(Requirements, r) })
}

// Manifests is the source of the lab's manifests, in the form of package fetch.
type Manifests struct {
	Source   string `json:"source"`
	Checksum string `json:"checksum,omitempty"`
}

// file is lab.yaml.
type file struct {
	Title     string    `json:"title"`
	About     string    `json:"about"`
	Manifests Manifests `json:"manifests"`
	Minutes   int       `json:"minutes"`
	Requires  []string  `json:"requires"`
	Needs     []string  `json:"needs"`
	Images    []string  `json:"images"`
	Cleanup   string    `json:"cleanup"`
}

var (
	labDir   = regexp.MustCompile(`^[0-9]{2}-([a-z][a-z0-9-]*)$`)
	trackDir = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	labID    = regexp.MustCompile(`^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$`)
	program  = regexp.MustCompile(`^[a-z][a-z0-9.-]*$`)
)

func read(root, dir string) (*Lab, error) {
	m := labDir.FindStringSubmatch(filepath.Base(dir))
	if m == nil {
		return nil, fmt.Errorf("the directory %s is not named like 01-name", filepath.Base(dir))
	}
	if track := filepath.Base(filepath.Dir(dir)); !trackDir.MatchString(track) {
		return nil, fmt.Errorf("the directory of the track, %q, is not named like a-name", track)
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
	for _, r := range f.Requires {
		if !labID.MatchString(r) && !slices.Contains(Requirements, r) {
			return nil, fmt.Errorf("requires: %q is neither a lab (TRACK/NAME) nor one of %s", r, strings.Join(Requirements, ", "))
		}
	}
	if f.Minutes < 0 || f.Minutes > 240 {
		return nil, fmt.Errorf("minutes: %d is not between 1 and 240", f.Minutes)
	}
	lab := &Lab{
		Name: m[1], Track: filepath.Base(filepath.Dir(dir)), Title: f.Title, About: f.About, Manifests: f.Manifests, Needs: f.Needs, Cleanup: f.Cleanup,
		Minutes: f.Minutes, Requires: f.Requires, Images: f.Images, Dir: dir, TextFile: filepath.Join(dir, "text.md"),
	}
	lab.Feature = filepath.Join(root, "features", lab.Track, lab.Name+".feature")
	if lab.Scenarios, err = Scenarios(lab.Feature); err != nil {
		return nil, err
	}
	if err := lab.readText(); err != nil {
		return nil, fmt.Errorf("text.md: %w", err)
	}
	return lab, lab.match()
}

// readText reads the text, and the scripts of its steps.
func (l *Lab) readText() error {
	prose, err := os.ReadFile(l.TextFile)
	if err != nil {
		return err
	}
	text, err := script.Read(string(prose))
	if err != nil {
		return err
	}
	if len(text.Steps) == 0 {
		return errors.New("no step: '## Heading' starts one")
	}
	l.Intro = text.Intro
	for i := range text.Steps {
		s := Step{Step: text.Steps[i]}
		for dir, into := range map[string]*string{"setup": &s.Setup, "solve": &s.Solve} {
			b, err := os.ReadFile(filepath.Join(l.Dir, dir, s.Name+".sh"))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			*into = string(b)
		}
		l.Steps = append(l.Steps, s)
		l.Text = append(l.Text, s.items()...)
	}
	if !slices.ContainsFunc(l.Text, func(i script.Item) bool { return i.Kind == script.Command }) {
		return errors.New("no command: a fenced block with a line that starts with \"$ \" is one")
	}
	return l.scripts()
}

// scripts returns an error if a script belongs to no step.
func (l *Lab) scripts() error {
	for _, dir := range []string{"setup", "solve"} {
		found, err := filepath.Glob(filepath.Join(l.Dir, dir, "*"))
		if err != nil {
			return err
		}
		for _, path := range found {
			name, ok := strings.CutSuffix(filepath.Base(path), ".sh")
			if _, err := l.StepIndex(name); err != nil || !ok {
				return fmt.Errorf("%s/%s is the script of no step", dir, filepath.Base(path))
			}
		}
	}
	return nil
}

// match returns an error unless the text's checks and the feature's scenarios are the same: a
// check without a scenario would check nothing, and a scenario without a check never runs.
func (l *Lab) match() error {
	named := map[string]bool{}
	for _, item := range l.Text {
		if item.Kind == script.Check || item.Kind == script.Holds {
			if named[item.Text] {
				return fmt.Errorf("text.md line %d: %q is checked twice", item.Line, item.Text)
			}
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
