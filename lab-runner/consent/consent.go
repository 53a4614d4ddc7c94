// Package consent keeps what a learner has agreed to run. A lab is data until then: text, manifests and checks that are
// read and shown. Two kinds of trees of labs need no agreement: the one that came with the program, beside it, and those
// that the learner has named as their own (AddAuthor). Of any other lab the learner is shown a Summary of what it runs, and
// agrees to the checksum of all its files; when a file changes, the checksum does, and the learner is asked again.
// The package runs nothing of a lab and asks nobody. It fetches a lab's manifests to look at them.
package consent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Store is the file of agreements. It is written as a whole.
type Store struct{ path string }

// record is the file.
type record struct {
	Version int                  `json:"version"`
	Agreed  map[string]agreement `json:"agreed"`            // by checksum
	Authors []string             `json:"authors,omitempty"` // trees of labs that are the learner's own
	Fetched []string             `json:"fetched,omitempty"` // directories that were fetched
}

// agreement is one lab that may be run.
type agreement struct {
	Lab string    `json:"lab"` // TRACK/NAME
	At  time.Time `json:"at"`
}

// NewStore returns the store of a file, which need not exist.
func NewStore(path string) *Store { return &Store{path} }

// read returns the record. A file that cannot be understood is an error: an agreement is never guessed.
func (s *Store) read() (*record, error) {
	r := &record{Version: 1}
	text, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("the file of agreements: %w", err)
	default:
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("the file of agreements %s is broken: %w; remove it, and each lab is asked for again", s.path, err)
		}
		if r.Version != 1 {
			return nil, fmt.Errorf("the file of agreements %s has version %d, and this program reads 1", s.path, r.Version)
		}
	}
	if r.Agreed == nil {
		r.Agreed = map[string]agreement{}
	}
	return r, nil
}

func (s *Store) update(change func(*record)) error {
	r, err := s.read()
	if err != nil {
		return err
	}
	change(r)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("the directory of agreements: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), ".agreed-")
	if err != nil {
		return fmt.Errorf("writing the agreement: %w", err)
	}
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("writing the agreement: %w", err)
	}
	return nil
}

// Agreed reports whether the learner has agreed to the files of that checksum.
func (s *Store) Agreed(sum string) (bool, error) {
	r, err := s.read()
	if err != nil {
		return false, err
	}
	_, ok := r.Agreed[sum]
	return ok, nil
}

// Agree notes that the learner has agreed to the files of a lab.
func (s *Store) Agree(sum, lab string) error {
	return s.update(func(r *record) { r.Agreed[sum] = agreement{Lab: lab, At: time.Now().UTC().Truncate(time.Second)} })
}

// AddAuthor notes that the labs of a tree are the learner's own.
func (s *Store) AddAuthor(root string) error {
	return s.add(root, func(r *record) *[]string { return &r.Authors })
}

// AddFetched notes that a directory was fetched: what is in it did not come with the program, wherever it lies.
func (s *Store) AddFetched(dir string) error {
	return s.add(dir, func(r *record) *[]string { return &r.Fetched })
}

func (s *Store) add(dir string, list func(*record) *[]string) error {
	dir, err := real(dir)
	if err != nil {
		return err
	}
	return s.update(func(r *record) {
		if l := list(r); !slices.Contains(*l, dir) {
			*l = append(*l, dir)
		}
	})
}

// Own reports whether the labs of a tree need no agreement: the learner writes them, or they came with the program, whose
// file is exe: in its directory, in the one above, or in ../share/wheelhouse of it.
func (s *Store) Own(root, exe string) (bool, error) {
	r, err := s.read()
	if err != nil {
		return false, err
	}
	if root, err = real(root); err != nil {
		return false, err
	}
	if slices.Contains(r.Authors, root) {
		return true, nil
	}
	for _, dir := range r.Fetched {
		if inside(dir, root) {
			return false, nil
		}
	}
	if exe, err = real(exe); err != nil {
		return false, nil //nolint:nilerr // a program that is gone has no labs beside it
	}
	dir := filepath.Dir(exe)
	for _, beside := range []string{dir, filepath.Dir(dir), filepath.Join(filepath.Dir(dir), "share", "wheelhouse")} {
		if beside, err := real(beside); err == nil && beside == root {
			return true, nil
		}
	}
	return false, nil
}

// real returns the absolute path without links.
func real(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// inside reports whether path is dir or below it.
func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
