// Package bundle writes and reads the one file that a class without internet is made from: programs, images, labs, slides and
// packages. The file is a tar archive of regular files, the first of which is the index: name, size and digest of
// each member, in the order of the archive. Images are an OCI layout below images/, each layer once. The same inputs make the same
// bytes: members are sorted, and have no time and no owner.
//
// It packs what lies in a directory and builds nothing. It reads a bundle in place and never unpacks all of it. What it reads is
// not trusted: names cannot lead out of a directory, there are no links, and sizes are those of the index, which is
// bounded. A caller that serves a bundle of unknown origin calls Verify first, since Open reads no content but the indexes'.
package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// The bounds of a bundle.
const (
	IndexName  = "wheelhouse-bundle.json"
	maxIndex   = 32 << 20 // bytes
	maxMembers = 100_000
	maxMember  = 16 << 30 // bytes
	maxTotal   = 256 << 30
	version    = 1
)

// Member is a file of a bundle.
type Member struct {
	Name       string `json:"name"`
	Size       int64  `json:"size"`
	SHA256     string `json:"sha256"` // 64 hexadecimal digits
	Executable bool   `json:"executable,omitempty"`
}

// index is the first file of a bundle.
type index struct {
	Version int      `json:"version"`
	Sum     string   `json:"sum"` // SHA-256 of the members, as JSON
	Members []Member `json:"members"`
}

// encode returns the index of some members.
func encode(members []Member) ([]byte, error) {
	list, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return json.Marshal(index{version, sum(list), members})
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// decode reads an index. Each name is valid, sorted and there once.
func decode(data []byte) ([]Member, error) {
	var i index
	if err := json.Unmarshal(data, &i); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", IndexName, err)
	}
	if i.Version != version {
		return nil, fmt.Errorf("the bundle has version %d, this program reads version %d", i.Version, version)
	}
	if list, err := json.Marshal(i.Members); err != nil || sum(list) != i.Sum {
		return nil, fmt.Errorf("%s is damaged: its members have another sum", IndexName)
	}
	if len(i.Members) > maxMembers {
		return nil, fmt.Errorf("the bundle has %d members, more than %d", len(i.Members), maxMembers)
	}
	total := int64(0)
	for n, m := range i.Members {
		if err := m.check(); err != nil {
			return nil, err
		}
		if n > 0 && i.Members[n-1].Name >= m.Name {
			return nil, fmt.Errorf("the bundle's member %q is not in its place", m.Name)
		}
		if total += m.Size; total > maxTotal {
			return nil, errors.New("the bundle is larger than a bundle may be")
		}
	}
	return i.Members, nil
}

// check returns an error for a member that no bundle has.
func (m Member) check() error {
	switch raw, err := hex.DecodeString(m.SHA256); {
	case !fs.ValidPath(m.Name) || m.Name == "." || m.Name == IndexName || strings.ContainsAny(m.Name, "\\:\x00\n") || len(m.Name) > 4096:
		return fmt.Errorf("the bundle has a member with the name %q, which is not allowed", m.Name)
	case m.Size < 0 || m.Size > maxMember:
		return fmt.Errorf("the bundle's member %s has %d bytes: at most %d are allowed", m.Name, m.Size, int64(maxMember))
	case err != nil || len(raw) != sha256.Size:
		return fmt.Errorf("the bundle's member %s has no valid digest", m.Name)
	}
	return nil
}

// Bundle is a file that is open. Its methods may be called from several goroutines.
type Bundle struct {
	file    io.ReaderAt
	close   func() error
	digest  string
	members []Member
	offsets map[string]int64
	damage  error // the first thing wrong with the archive's form
}

// Open reads the index of a bundle and finds its members. A bundle that has lost some of them, or whose form is wrong, is an error.
func Open(name string) (*Bundle, error) {
	b, err := open(name)
	if err != nil {
		return nil, err
	}
	if b.damage != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, b.damage), b.Close())
	}
	return b, nil
}

// open is Open that keeps a damage for Verify.
func open(name string) (*Bundle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	b := &Bundle{file: f, close: f.Close, offsets: map[string]int64{}}
	if err := b.scan(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is no bundle that can be read: %w", name, err), f.Close())
	}
	return b, nil
}

// scan reads the headers; f is positioned at its begin. tar.Reader reads whole blocks, so after a header f is at the content.
func (b *Bundle) scan(f io.ReadSeeker) error {
	t := tar.NewReader(f)
	h, err := t.Next()
	if err != nil || h.Name != IndexName || h.Typeflag != tar.TypeReg || h.Size > maxIndex {
		return errors.Join(fmt.Errorf("it does not begin with %s", IndexName), err)
	}
	data, err := io.ReadAll(io.LimitReader(t, maxIndex))
	if err != nil {
		return fmt.Errorf("%s is damaged: %w", IndexName, err)
	}
	if b.members, err = decode(data); err != nil {
		return err
	}
	b.digest = sum(data)
	for n := 0; ; n++ {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && n == len(b.members):
			return nil
		case n == len(b.members):
			b.damage = errors.New("there is something behind its last member")
		case err != nil:
			b.damage = fmt.Errorf("%s is missing: %w", b.members[n].Name, err)
		case h.Typeflag != tar.TypeReg:
			b.damage = fmt.Errorf("%q is no regular file, but the bundle has nothing else", h.Name)
		case h.Name != b.members[n].Name:
			b.damage = fmt.Errorf("%s is missing: there is %q in its place", b.members[n].Name, h.Name)
		case h.Size != b.members[n].Size:
			b.damage = fmt.Errorf("%s is damaged: it has %d bytes instead of %d", h.Name, h.Size, b.members[n].Size)
		}
		if b.damage != nil {
			return nil //nolint:nilerr // Open returns the damage, Verify the first member that it concerns
		}
		if b.offsets[h.Name], err = f.Seek(0, io.SeekCurrent); err != nil {
			return err
		}
	}
}

// Close closes the file.
func (b *Bundle) Close() error { return b.close() }

// Digest is the SHA-256 of the index, which is that of all members: the same for the same inputs.
func (b *Bundle) Digest() string { return "sha256:" + b.digest }

// Members lists the files, sorted by name.
func (b *Bundle) Members() []Member { return slices.Clone(b.members) }

// find returns a member and its place.
func (b *Bundle) find(name string) (Member, int64, bool) {
	n, ok := slices.BinarySearchFunc(b.members, name, func(m Member, name string) int { return strings.Compare(m.Name, name) })
	if !ok {
		return Member{}, 0, false
	}
	at, ok := b.offsets[name]
	return b.members[n], at, ok
}

// section reads a member; it has been found.
func (b *Bundle) section(name string) (*io.SectionReader, error) {
	m, at, ok := b.find(name)
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return io.NewSectionReader(b.file, at, m.Size), nil
}

// Verify reads a whole bundle and returns the first member that is damaged or missing as an error.
func Verify(name string) (*Bundle, error) {
	b, err := open(name)
	if err != nil {
		return nil, err
	}
	for _, m := range b.members {
		r, err := b.section(m.Name)
		if err != nil { // the damage is there or before
			return nil, errors.Join(fmt.Errorf("%s: %w", name, b.damage), b.Close())
		}
		h := sha256.New()
		n, err := io.Copy(h, r)
		if err == nil && n != m.Size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil && hex.EncodeToString(h.Sum(nil)) != m.SHA256 {
			err = errors.New("its content has another digest")
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %s is damaged: %w", name, m.Name, err), b.Close())
		}
	}
	if b.damage != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, b.damage), b.Close())
	}
	return b, nil
}

// Extract writes the members below some directories, or all, into a directory. A file that is there is replaced; nothing is written outside the
// directory, through no link. Each member's digest is checked.
func (b *Bundle) Extract(dir string, below ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("extract: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("extract: %w", err)
	}
	defer func() { _ = root.Close() }()
	found := false
	for _, m := range b.members {
		if len(below) > 0 && !slices.ContainsFunc(below, func(directory string) bool {
			directory = path.Clean(directory)
			return m.Name == directory || strings.HasPrefix(m.Name, directory+"/")
		}) {
			continue
		}
		found = true
		if err := b.extract(root, m); err != nil {
			return fmt.Errorf("extract %s: %w", m.Name, err)
		}
	}
	if !found {
		return fmt.Errorf("extract: the bundle has nothing below %s", strings.Join(below, ", "))
	}
	return nil
}

func (b *Bundle) extract(root *os.Root, m Member) (err error) {
	r, err := b.section(m.Name)
	if err != nil {
		return err
	}
	if err := root.MkdirAll(path.Dir(m.Name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(m.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(m.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, m.mode())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != m.SHA256 {
		return errors.New("it is damaged: its content has another digest")
	}
	return nil
}

func (m Member) mode() fs.FileMode {
	if m.Executable {
		return 0o755
	}
	return 0o644
}
