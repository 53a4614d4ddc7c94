package environment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

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

const maxLinks = 40 // as the kernel's

// CheckPath checks each component of a path, and of the links on it. A parent directory may
// be world-writable if its sticky bit prevents users from renaming the files of others.
func (c Caller) CheckPath(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	at, links := "/", 0
	for ahead := strings.Split(path[1:], "/"); len(ahead) > 0; {
		next := filepath.Join(at, ahead[0])
		ahead = ahead[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return err
		}
		if err := c.checkOne(next, info, len(ahead) > 0); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		ahead = slices.Concat(strings.FieldsFunc(target, func(r rune) bool { return r == '/' }), ahead)
	}
	return nil
}

// checkOne checks one file or directory. It may be writable by a group that only its owner is in.
func (c Caller) checkOne(path string, info fs.FileInfo, above bool) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: its owner is unknown", path)
	}
	if !c.trusts(st.Uid) {
		return &writableError{path, fmt.Sprintf("belongs to user %d", st.Uid), c}
	}
	mode := info.Mode()
	open := mode.Perm()&0o002 != 0 || mode.Perm()&0o020 != 0 && (st.Gid != st.Uid || hasACL(path))
	sticky := above && mode.IsDir() && mode&fs.ModeSticky != 0
	if open && !sticky && mode&fs.ModeSymlink == 0 {
		return &writableError{path, fmt.Sprintf("can be written by others (%s)", mode), c}
	}
	return nil
}

// hasACL reports whether path has an ACL; the group bits of its mode are the ACL's mask then.
func hasACL(path string) bool {
	n, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}
