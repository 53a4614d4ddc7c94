package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The names that a written volume has beside its files: ..data is a link to the
// directory with the present content, whose name has a time in it.
const (
	dataLink    = "..data"
	dataLinkNew = "..data_tmp"
)

// writeVolume replaces the directory's content by the payload, atomically: it writes a new
// directory beside the old one and renames a link to it over ..data. The user-visible names
// are links through ..data. It reports whether anything has changed. group, if not
// negative, owns the files.
func writeVolume(dir string, files payload, group int, now string) (bool, error) {
	if old, err := os.Readlink(filepath.Join(dir, dataLink)); err == nil && sameContent(filepath.Join(dir, old), files) {
		return false, linkVolume(dir, files)
	}
	fresh, err := os.MkdirTemp(dir, ".."+now+".")
	if err != nil {
		return false, fmt.Errorf("write volume: %w", err)
	}
	if err := fillVolume(fresh, files, group); err != nil {
		return false, errors.Join(fmt.Errorf("write volume: %w", err), os.RemoveAll(fresh))
	}
	old, _ := os.Readlink(filepath.Join(dir, dataLink))
	link := filepath.Join(dir, dataLinkNew)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("write volume: %w", err)
	}
	if err := os.Symlink(filepath.Base(fresh), link); err != nil {
		return false, fmt.Errorf("write volume: %w", err)
	}
	if err := os.Rename(link, filepath.Join(dir, dataLink)); err != nil {
		return false, fmt.Errorf("write volume: %w", err)
	}
	if err := linkVolume(dir, files); err != nil {
		return false, err
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			return true, fmt.Errorf("remove the volume's old content: %w", err)
		}
	}
	return true, nil
}

func fillVolume(dir string, files payload, group int) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for name, f := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			return err
		}
		mode := fs.FileMode(f.mode) & fs.ModePerm
		owner := -1
		if f.owner != nil {
			owner = int(*f.owner)
		}
		if err := os.Chown(path, owner, group); err != nil {
			return err
		}
		if group >= 0 {
			mode |= 0o440
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	return nil
}

// sameContent reports whether the directory has the payload.
func sameContent(dir string, files payload) bool {
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, ok := files[name]
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !ok || !bytes.Equal(data, f.data) {
			return fs.ErrInvalid
		}
		return nil
	})
	return err == nil && n == len(files)
}

// linkVolume creates the visible names, and removes those that have gone.
func linkVolume(dir string, files payload) error {
	want := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		want[top] = true
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	for _, e := range have {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		if want[e.Name()] {
			delete(want, e.Name())
		} else if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("write volume: %w", err)
		}
	}
	for name := range want {
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("write volume: %w", err)
		}
	}
	return nil
}
