//go:build !windows

package environment

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

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
