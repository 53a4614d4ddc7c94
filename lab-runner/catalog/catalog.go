// Package catalog finds and validates the labs on disk: labs/TRACK/NN-NAME with lab.yaml,
// text.md, and scripts in setup/ and solve/, and features/TRACK/NAME.feature with exactly the
// scenarios that the text names as checks. It runs nothing. The caller passes the directory that
// holds labs/ and features/, or uses Root to find it.
package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"sigs.k8s.io/yaml"
)

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

// Load reads all labs under root, in the order of their tracks (labs/tracks.yaml) and numbers.
func Load(root string) ([]*Lab, error) {
	labs, refused, err := Read(root)
	for path, why := range refused {
		err = errors.Join(err, fmt.Errorf("%s: %w", path, why))
	}
	if err != nil {
		return nil, err
	}
	return labs, nil
}

// Read reads all labs under root as Load does, and returns why the others are refused, by the path of their lab.yaml.
func Read(root string) (labs []*Lab, refused map[string]error, err error) {
	found, err := filepath.Glob(filepath.Join(root, "labs", "*", "*", "lab.yaml"))
	if err != nil {
		return nil, nil, err
	}
	sort.Strings(found)
	refused = map[string]error{}
	seen := map[string]string{}
	for _, path := range found {
		lab, err := read(root, filepath.Dir(path))
		switch {
		case err != nil:
			refused[path] = err
		case seen[lab.ID()] != "":
			refused[path] = fmt.Errorf("a lab %s is in %s already", lab.ID(), seen[lab.ID()])
		default:
			seen[lab.ID()] = path
			labs = append(labs, lab)
		}
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("no lab under %s", filepath.Join(root, "labs"))
	}
	if err := order(root, labs); err != nil {
		return nil, nil, err
	}
	if err = place(labs); len(refused) == 0 {
		err = errors.Join(err, required(labs))
	}
	return labs, refused, err
}

// order sorts labs by the list of tracks in labs/tracks.yaml, where there is one. Other tracks follow, by name.
func order(root string, labs []*Lab) error {
	path := filepath.Join(root, "labs", "tracks.yaml")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var tracks []string
	if err := yaml.UnmarshalStrict(text, &tracks); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	rank := func(l *Lab) int {
		if i := slices.Index(tracks, l.Track); i >= 0 {
			return i
		}
		return len(tracks)
	}
	slices.SortStableFunc(labs, func(a, b *Lab) int { return rank(a) - rank(b) })
	return nil
}

// place sets the labs' namespaces: lab-NAME, or lab-TRACK-NAME if several tracks have the name.
func place(labs []*Lab) error {
	count := map[string]int{}
	for _, l := range labs {
		count[l.Name]++
	}
	taken := map[string]*Lab{}
	for _, l := range labs {
		l.place = l.Name
		if count[l.Name] > 1 {
			l.place = l.Track + "-" + l.Name
		}
		l.Namespace = "lab-" + l.place
		if other := taken[l.Namespace]; other != nil {
			return fmt.Errorf("the labs %s and %s have one namespace, %s: rename one", other.ID(), l.ID(), l.Namespace)
		}
		if len(l.Namespace) > 63 {
			return fmt.Errorf("lab %s: %s is longer than a namespace's name may be, 63", l.ID(), l.Namespace)
		}
		taken[l.Namespace] = l
	}
	return nil
}

// required returns an error unless the labs that others require are there.
func required(labs []*Lab) error {
	for _, l := range labs {
		for _, id := range l.RequiredLabs() {
			if _, err := Pick(labs, []string{id}); err != nil {
				return fmt.Errorf("lab %s: requires: %w", l.ID(), err)
			}
		}
	}
	return nil
}
