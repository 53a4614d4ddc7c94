package environment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"wheelhouse/lab-runner/catalog"
)

// A lab's commands run with the rights of the user who runs the lab, often root. So no other
// user may be able to change them, as with sshd's StrictModes and git's safe.directory.

// Caller is the user who runs the labs.
type Caller struct {
	uid  uint32
	sudo uint32 // the user who became root by sudo, else uid
}

// CurrentCaller returns the user of this process.
func CurrentCaller() Caller {
	c := Caller{uid: uint32(os.Geteuid())}
	c.sudo = c.uid
	if sudo, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32); err == nil && c.uid == 0 {
		c.sudo = uint32(sudo)
	}
	return c
}

func (c Caller) trusts(uid uint32) bool { return uid == 0 || uid == c.uid || uid == c.sudo }

// writableError is returned for a file or directory that another user can change.
type writableError struct {
	path, why string
	caller    Caller
}

func (e *writableError) Error() string {
	return fmt.Sprintf("%s %s, so others choose what runs here as user %d; change that ('chmod go-w', 'chown'), or copy the files to a directory of your own and name it",
		e.path, e.why, e.caller.uid)
}

// CheckFiles returns an error if another user can change a file of the lab that is run or read.
func (c Caller) CheckFiles(lab *catalog.Lab) error {
	trees := []string{lab.Dir}
	if from := lab.Manifests.Source; !strings.Contains(from, ":") { // a directory, as in fetch
		if !filepath.IsAbs(from) {
			from = filepath.Join(lab.Dir, from)
		}
		trees = append(trees, from)
	}
	err := c.CheckPath(lab.Feature)
	for _, tree := range trees {
		err = errors.Join(err, c.CheckTree(tree))
	}
	if err != nil {
		return fmt.Errorf("lab %s is not run: %w", lab.Name, first(err))
	}
	return nil
}

// first returns one of the joined errors: a writable file is seldom the only one.
func first(err error) error {
	var found *writableError
	if errors.As(err, &found) {
		return found
	}
	return err
}

// CheckTree checks a directory, its contents, and the directories above it. It ignores a
// directory that does not exist.
func (c Caller) CheckTree(dir string) error {
	if err := c.CheckPath(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return c.CheckPath(path)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return c.checkOne(path, info, false)
	})
}
