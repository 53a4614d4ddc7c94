// Package lint finds what is wrong in labs without running them: what the catalog refuses, sentences that no step of a
// check has, steps that nothing checks, images outside of the catalogue, what today's Kubernetes no longer has, dead
// links, and files that nothing uses. It reads files below the directory that holds labs/ and features/, and nothing
// else: an address of the network is not asked. What is computed of one lab is in lab.go, the tables in removed.go.
package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"wheelhouse/lab-runner/catalog"
)

// Finding is one fault.
type Finding struct {
	File string // relative to the root
	Line int    // 0: the file as a whole
	Text string
	// Warning is set for what is no fault where the text wants it, such as an API version of 2016.
	Warning bool
}

func (f Finding) String() string {
	at, kind := f.File, ""
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	if f.Warning {
		kind = "warning: "
	}
	return at + ": " + kind + f.Text
}

// Labs returns what is wrong in the named labs, in all without names, and in what belongs to no lab. The error is one
// that prevented the look.
func Labs(root string, names []string) ([]Finding, error) {
	labs, refused, err := catalog.Read(root)
	if err != nil {
		return nil, err
	}
	l := linter{root: root, catalogue: catalogue(root)}
	for path, err := range refused {
		l.add(path, 0, "%v", err)
	}
	picked := labs
	if len(names) > 0 {
		if picked, err = catalog.Pick(labs, names); err != nil && len(refused) == 0 {
			return nil, err
		}
	}
	for _, lab := range picked {
		if err := l.lab(lab); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		if err := l.features(labs, refused); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	return l.found, nil
}

type linter struct {
	root      string
	catalogue map[string]bool // names of images; nil: there is no catalogue
	found     []Finding
}

func (l *linter) add(path string, line int, format string, args ...any) {
	if rel, err := filepath.Rel(l.root, path); err == nil {
		path = rel
	}
	l.found = append(l.found, Finding{File: path, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (l *linter) warn(path string, line int, format string, args ...any) {
	l.add(path, line, format, args...)
	l.found[len(l.found)-1].Warning = true
}

// features finds features that belong to no lab, in the tracks' directories.
func (l *linter) features(labs []*catalog.Lab, refused map[string]error) error {
	used, tracks := map[string]bool{}, map[string]bool{}
	for _, lab := range labs {
		used[lab.Feature], tracks[lab.Track] = true, true
	}
	for path := range refused { // labs/TRACK/NN-NAME/lab.yaml
		dir := filepath.Dir(path)
		_, name, _ := strings.Cut(filepath.Base(dir), "-")
		used[filepath.Join(l.root, "features", filepath.Base(filepath.Dir(dir)), name+".feature")] = true
	}
	for track := range tracks {
		found, err := filepath.Glob(filepath.Join(l.root, "features", track, "*"))
		if err != nil {
			return err
		}
		for _, path := range found {
			if !used[path] {
				l.add(path, 0, "no lab of the track %s uses it", track)
			}
		}
	}
	return nil
}

var tag = regexp.MustCompile(`(?m)^# tag: (\S+)$`)

// catalogue returns the images that labs/images builds, nil without it.
func catalogue(root string) map[string]bool {
	files, _ := filepath.Glob(filepath.Join(root, "labs", "images", "*", "Dockerfile")) // the pattern is valid
	if len(files) == 0 {
		return nil
	}
	out := map[string]bool{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // its images are missing then
		}
		for _, m := range tag.FindAllStringSubmatch(string(text), -1) {
			out[image(m[1])] = true
		}
	}
	return out
}

// image returns the name in full, as Docker reads it: docker.io/library/nginx:latest.
func image(name string) string {
	first, _, path := strings.Cut(name, "/")
	switch {
	case !path:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		name = "docker.io/" + name
	}
	if !strings.Contains(name[strings.LastIndex(name, "/"):], ":") {
		name += ":latest"
	}
	return name
}
