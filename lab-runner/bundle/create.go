package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// What is below the directory that a bundle is made from, and below the same names in the bundle.
//
//	bin/ARCH/         the program wheelhouse, for Linux
//	lab/              the program lab, for each system
//	deb/*_ARCH.deb    the packages of the kits
//	labs/TRACK/       the labs, with labs/tracks.yaml; features/TRACK/ has their checks
//	slides/           the decks
//	kit/              other files of the kits
//	images/ARCH.tar   what `docker save` wrote; becomes the OCI layout images/
const (
	binDirectory    = "bin"
	debDirectory    = "deb"
	labsDirectory   = "labs"
	checksDirectory = "features"
	imagesDirectory = "images"
)

// directories are those that are packed.
var directories = []string{binDirectory, "lab", debDirectory, labsDirectory, checksDirectory, "slides", "kit"}

// Create is what a bundle is made from.
type Create struct {
	From   string   // the directory
	Arches []string // of what is for one architecture only, such as amd64; none: all that there are
	Labs   []string // the tracks of labs; none: all
}

// source is where the content of a member is.
type source struct {
	Member
	path string
}

// Write writes the bundle to a file and returns its digest and its members. The file is there whole or not at all. An
// architecture or a track that is asked for, and that the directory does not have, is an error.
func (c Create) Write(ctx context.Context, out string) (*Bundle, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(filepath.Dir(out), ".bundle-*")
	if err != nil {
		return nil, fmt.Errorf("create the bundle: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	all, err := c.files(ctx)
	if err != nil {
		return nil, err
	}
	images, err := c.images(ctx, work)
	if err != nil {
		return nil, err
	}
	all = append(all, images...)
	if len(all) == 0 {
		return nil, fmt.Errorf("create the bundle: there is nothing to pack in %s; `make bundle` fills it", c.From)
	}
	slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.Name, b.Name) })
	part := filepath.Join(work, "bundle.tar")
	if err := write(ctx, part, all); err != nil {
		return nil, fmt.Errorf("create the bundle: %w", err)
	}
	if err := os.Rename(part, out); err != nil {
		return nil, fmt.Errorf("create the bundle: %w", err)
	}
	return Open(out)
}

// complete reports what was asked for and is not there.
func (c Create) complete() error {
	for _, a := range c.Arches {
		found, err := filepath.Glob(filepath.Join(c.From, binDirectory, a, "wheelhouse"))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("create the bundle: %s has no program for %s; `make bundle` builds it", c.From, a)
		}
	}
	for _, track := range c.Labs {
		if info, err := os.Stat(filepath.Join(c.From, labsDirectory, filepath.Base(track))); err != nil || !info.IsDir() || filepath.Base(track) != track {
			return fmt.Errorf("create the bundle: %s has no track of labs %q", c.From, track)
		}
	}
	return nil
}

// wants reports whether a file of the directory is packed.
func (c Create) wants(name string) bool {
	parts := strings.Split(name, "/")
	if slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, ".") }) {
		return false
	}
	switch directory := parts[0]; {
	case directory == binDirectory && len(parts) > 2 && len(c.Arches) > 0:
		return slices.Contains(c.Arches, parts[1])
	case directory == debDirectory && len(c.Arches) > 0:
		return slices.ContainsFunc(append([]string{"all"}, c.Arches...), func(a string) bool { return strings.HasSuffix(name, "_"+a+".deb") })
	case (directory == labsDirectory || directory == checksDirectory) && len(parts) > 2 && len(c.Labs) > 0:
		return slices.Contains(c.Labs, parts[1])
	}
	return true
}

// files lists what lies in the directories, with the digests. A link, or anything else that is no file, is an error.
func (c Create) files(ctx context.Context) ([]source, error) {
	var out []source
	for _, directory := range directories {
		err := filepath.WalkDir(filepath.Join(c.From, directory), func(file string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && file == filepath.Join(c.From, directory) {
				return nil
			}
			if err != nil || e.IsDir() {
				return err
			}
			name, err := filepath.Rel(c.From, file)
			if err != nil {
				return err
			}
			if name = filepath.ToSlash(name); !c.wants(name) {
				return nil
			}
			if !e.Type().IsRegular() {
				return fmt.Errorf("%s is no regular file", file)
			}
			s, err := describe(ctx, name, file)
			out = append(out, s)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("create the bundle: %w", err)
		}
	}
	return out, nil
}

// describe reads a file for its digest.
func describe(ctx context.Context, name, file string) (source, error) {
	f, err := os.Open(file)
	if err != nil {
		return source{}, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return source{}, err
	}
	h := sha256.New()
	n, err := io.Copy(h, reads(ctx, f))
	if err != nil {
		return source{}, fmt.Errorf("read %s: %w", file, err)
	}
	m := Member{Name: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil)), Executable: stat.Mode()&0o100 != 0}
	return source{m, file}, m.check()
}

// write writes the archive. A file that has changed since it was described is an error.
func write(ctx context.Context, out string, all []source) (err error) {
	f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	members := make([]Member, len(all))
	for n, s := range all {
		members[n] = s.Member
	}
	data, err := encode(members)
	if err != nil {
		return err
	}
	if _, err := decode(data); err != nil { // it is within the bounds of who reads it
		return err
	}
	w := tar.NewWriter(f)
	if err := w.WriteHeader(header(Member{Name: IndexName, Size: int64(len(data))})); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	for _, s := range all {
		if err := add(ctx, w, s); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Sync()
}

// header has nothing of the machine or the time at which the bundle is made.
func header(m Member) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: m.Name, Size: m.Size, Mode: int64(m.mode()), Format: tar.FormatPAX}
}

func add(ctx context.Context, w *tar.Writer, s source) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.WriteHeader(header(s.Member)); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(w, h), reads(ctx, f), s.Size); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != s.SHA256 {
		return errors.New("it has changed while the bundle was made")
	}
	return nil
}

// reads is a reader that ends with the context.
func reads(ctx context.Context, r io.Reader) io.Reader { return untilDone{ctx, r} }

type untilDone struct {
	ctx context.Context // of one copy
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// blobName is where a blob of the OCI layout is.
func blobName(hex string) string { return path.Join(imagesDirectory, "blobs", "sha256", hex) }
