package bundle

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Files are the members as a file system, which is read in place.
func (b *Bundle) Files() fs.FS { return files{b} }

type files struct{ b *Bundle }

// Open opens a member, or a directory of members.
func (f files) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if m, _, ok := f.b.find(name); ok {
		r, err := f.b.section(name)
		return &file{r, m}, err
	}
	entries := f.entries(name)
	if len(entries) == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &directory{name, entries}, nil
}

// entries lists a directory; it has none if there is no such directory.
func (f files) entries(name string) []fs.DirEntry {
	prefix := name + "/"
	if name == "." {
		prefix = ""
	}
	from, _ := slices.BinarySearchFunc(f.b.members, prefix, func(m Member, name string) int { return strings.Compare(m.Name, name) })
	var out []fs.DirEntry
	for _, m := range f.b.members[from:] {
		rest, below := strings.CutPrefix(m.Name, prefix)
		if !below {
			break
		}
		first, _, deep := strings.Cut(rest, "/")
		if len(out) > 0 && out[len(out)-1].Name() == first {
			continue
		}
		if deep {
			out = append(out, fs.FileInfoToDirEntry(info{Member{Name: first}, true}))
		} else {
			m.Name = first
			out = append(out, fs.FileInfoToDirEntry(info{m, false}))
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.CompactFunc(out, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() })
}

// info describes a member or a directory. There are no times, so that the same bundle is served the same.
type info struct {
	m   Member
	dir bool
}

func (i info) Name() string     { return path.Base(i.m.Name) }
func (i info) Size() int64      { return i.m.Size }
func (info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool      { return i.dir }
func (info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return i.m.mode() &^ 0o222
}

// file is a member that is open.
type file struct {
	*io.SectionReader
	m Member
}

func (f *file) Stat() (fs.FileInfo, error) { return info{f.m, false}, nil }
func (*file) Close() error                 { return nil }

// directory is a directory that is open.
type directory struct {
	name string
	left []fs.DirEntry
}

func (d *directory) Stat() (fs.FileInfo, error) { return info{Member{Name: d.name}, true}, nil }
func (*directory) Close() error                 { return nil }

func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("it is a directory")}
}

// ReadDir returns the next n entries, or all that are left.
func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.left) {
		n = len(d.left)
	}
	out := d.left[:n]
	d.left = d.left[n:]
	return out, nil
}
