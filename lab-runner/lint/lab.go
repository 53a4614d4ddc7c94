package lint

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/steps"
)

// lab finds what is wrong in one lab.
func (l *linter) lab(lab *catalog.Lab) error {
	text, err := os.ReadFile(lab.TextFile)
	if err != nil {
		return err
	}
	description := filepath.Join(lab.Dir, "lab.yaml")
	if lab.Minutes == 0 {
		l.add(description, 0, "minutes is missing: how long a learner takes")
	}
	if lab.About == "" {
		l.add(description, 0, "about is missing: one sentence")
	}
	for _, name := range lab.Images {
		if l.catalogue != nil && !l.catalogue[image(name)] {
			l.add(description, 0, "the image %s is not in the catalogue: no Dockerfile of labs/images has the line '# tag: %s'", name, name)
		}
	}
	for _, s := range lab.Scenarios {
		for _, sentence := range s.Steps {
			if !steps.Defined(sentence.Text) {
				l.add(lab.Feature, s.Line, "scenario %q: no step is defined for the sentence %q: lab-runner/steps/table.go has them", s.Name, sentence.Text)
			}
			if !steps.Changes(sentence.Text) && slices.ContainsFunc(code.FindAllString(sentence.Text, -1), changesCluster) {
				l.add(lab.Feature, s.Line, "scenario %q: the check %q changes the cluster each time that it is evaluated: use --dry-run=server", s.Name, sentence.Text)
			}
		}
	}
	for i := range lab.Steps {
		l.step(lab, &lab.Steps[i])
	}
	l.links(lab, string(text))
	return l.files(lab, string(text))
}

// step finds what a step lacks, and commands that today's programs do not have.
func (l *linter) step(lab *catalog.Lab, s *catalog.Step) {
	check := slices.ContainsFunc(s.Checks, func(c script.Item) bool { return c.Kind == script.Check })
	if len(s.Checks) == 0 && len(s.Quiz) == 0 {
		l.add(lab.TextFile, s.Line, "the step %s has neither check nor question: nothing says when it is done", s.Name)
	}
	if check && len(s.Hints) == 0 {
		l.add(lab.TextFile, s.Line, "the step %s has a check and no hint", s.Name)
	}
	if check && s.Break == "" {
		l.add(lab.TextFile, s.Line, "the step %s has a check and no 'break:'", s.Name)
	}
	for _, c := range s.Commands {
		for _, r := range removedCommands {
			if r.pattern.MatchString(c.Text) {
				l.warn(lab.TextFile, c.Line, "%s; today: %s", r.was, r.today)
			}
		}
		if waiting.MatchString(c.Text) && !comes.MatchString(c.Text) {
			l.add(lab.TextFile, c.Line, "kubectl wait with a selector fails at once while no object has the label: add --for=create, or wait for the controller's status")
		}
	}
}

var (
	code    = regexp.MustCompile("`[^`]*`")
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	version = regexp.MustCompile(`^\s*"?apiVersion"?: *"?([a-z0-9./]+)"?,?\s*$`)
	kind    = regexp.MustCompile(`^\s*"?kind"?: *"?([A-Za-z]+)"?,?\s*$`)
)

// writing finds kubectl's commands that write, whatever flags stand between.
var writing = regexp.MustCompile(`\bkubectl(?: -{1,2}[a-z-]+(?:[= ][^\s|;&]+)?)* (?:annotate|apply|autoscale|cordon|create|delete|drain|edit|expose|label|patch|replace|run|scale|set|taint|uncordon|rollout (?:pause|restart|resume|undo))\b[^|;&]*`)

// waiting finds kubectl wait with a selector. comes finds what makes it wait for objects that do not exist yet, or no longer.
var (
	waiting = regexp.MustCompile(`\bkubectl wait [^|;&]*\s(?:-l|--selector)[ =]`)
	comes   = regexp.MustCompile(`--for[= ](?:create|delete)\b`)
)

// changesCluster reports whether a command has a part that writes.
func changesCluster(command string) bool {
	return slices.ContainsFunc(writing.FindAllString(command, -1), func(part string) bool { return !strings.Contains(part, "--dry-run=") })
}

// links finds links to files that are not there, and addresses that a browser would not open.
func (l *linter) links(lab *catalog.Lab, text string) {
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
			to, _, _ := strings.Cut(m[1], "#")
			switch {
			case strings.HasPrefix(to, "https://"), to == "":
			case strings.Contains(to, "://"):
				l.add(lab.TextFile, i+1, "the link %s does not begin with https://", to)
			default:
				if _, err := os.Stat(filepath.Join(lab.Dir, to)); err != nil {
					l.add(lab.TextFile, i+1, "the link leads nowhere: there is no %s", to)
				}
			}
		}
	}
}

// files finds files of the lab that nothing names, and API versions that were removed.
func (l *linter) files(lab *catalog.Lab, text string) error {
	own := []string{"lab.yaml", "text.md", "setup", "solve", "manifests"}
	entries, err := os.ReadDir(lab.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(own, e.Name()) && !strings.Contains(text, e.Name()) {
			l.add(filepath.Join(lab.Dir, e.Name()), 0, "nothing uses it")
		}
	}
	contents := map[string]string{} // of the manifests
	dir := filepath.Join(lab.Dir, "manifests")
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil // they come from elsewhere
		}
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		contents[path] = string(b)
		return err
	})
	if err != nil {
		return err
	}
	feature, err := os.ReadFile(lab.Feature)
	if err != nil {
		return err
	}
	said := text + string(feature) + lab.Cleanup
	for i := range lab.Steps {
		said += lab.Steps[i].Setup + lab.Steps[i].Solve
	}
	for path, content := range contents {
		if !named(dir, path, said, contents) {
			l.add(path, 0, "nothing uses it")
		}
		if ext := filepath.Ext(path); ext == ".yaml" || ext == ".yml" || ext == ".json" {
			l.manifest(path, content)
		}
	}
	return nil
}

// wholeDirectory finds commands that are given a directory: all files in it are used.
var wholeDirectory = regexp.MustCompile(`(?:-f|-k|--from-file=?|COPY|ADD|docker build[^\n]*) *[^ \n]*(?:\.|/)(?:\s|$)`)

// named reports whether the text, or another file, names the file or a directory above it.
func named(dir, path, said string, contents map[string]string) bool {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return false
	}
	if wholeDirectory.MatchString(said) {
		return true
	}
	for name := rel; name != "."; name = filepath.Dir(name) {
		word := filepath.Base(name)
		if strings.Contains(said, word) {
			return true
		}
		for other, content := range contents {
			if other != path && strings.Contains(content, word) {
				return true
			}
		}
	}
	return false
}

// manifest finds API versions that no current cluster serves.
func (l *linter) manifest(path, content string) {
	var at int
	var v, k string
	end := func() {
		if today := removedVersion(v, k); today != "" {
			l.warn(path, at, "%s of %s is not served any more; today: %s", k, v, today)
		}
		v, k = "", ""
	}
	for i, line := range strings.Split(content, "\n") {
		if strings.HasPrefix(line, "---") {
			end()
		}
		if m := version.FindStringSubmatch(line); m != nil && v == "" {
			v, at = m[1], i+1
		}
		if m := kind.FindStringSubmatch(line); m != nil && k == "" {
			k = m[1]
		}
	}
	end()
}
