package fetch

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	getter "github.com/hashicorp/go-getter/v2"
)

// examine returns the checksum of dir: of each file's path and contents, in the order of the
// paths. It fails for anything but regular files and directories, and beyond the limits.
func examine(dir string, l Limits) (string, error) {
	if info, err := os.Lstat(dir); err != nil {
		return "", err
	} else if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", dir)
	}
	var lines []string
	var bytes int64
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is a %s; only files and directories are allowed", name, describe(d.Type()))
		}
		if files++; files > l.Files {
			return fmt.Errorf("more than %d files, the limit", l.Files)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if bytes += info.Size(); bytes > l.Bytes {
			return fmt.Errorf("more than %d bytes, the limit", l.Bytes)
		}
		sum, err := fileSum(path)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%s  %s\n", sum, filepath.ToSlash(name)))
		return nil
	})
	if err != nil {
		return "", err
	}
	if files == 0 {
		return "", errors.New("there is no file in it")
	}
	sort.Strings(lines)
	total := sha256.New()
	for _, line := range lines {
		_, _ = io.WriteString(total, line) // a hash takes everything
	}
	return "sha256:" + hex.EncodeToString(total.Sum(nil)), nil
}

func describe(t fs.FileMode) string {
	if t&fs.ModeSymlink != 0 {
		return "symbolic link"
	}
	return "special file"
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// archives returns the supported archive formats, each checked before it is unpacked.
func archives(l Limits) map[string]getter.Decompressor {
	all := getter.LimitedDecompressors(l.Files, l.Bytes)
	return map[string]getter.Decompressor{
		"zip":    guarded{scanZip, l, all["zip"]},
		"tar":    guarded{scanTar, l, all["tar"]},
		"tar.gz": guarded{scanTarGz, l, all["tar.gz"]},
		"tgz":    guarded{scanTarGz, l, all["tgz"]},
	}
}

// guarded refuses an archive with anything but files and directories: go-getter would silently
// unpack a symbolic link as an empty file.
type guarded struct {
	scan func(path string, l Limits, see func(name string, mode fs.FileMode) error) error
	l    Limits
	getter.Decompressor
}

func (g guarded) Decompress(dst, src string, dir bool, umask os.FileMode) error {
	entries := 0
	err := g.scan(src, g.l, func(name string, mode fs.FileMode) error {
		if entries++; entries > g.l.Files {
			return fmt.Errorf("more than %d files, the limit", g.l.Files)
		}
		if !mode.IsRegular() && !mode.IsDir() {
			return fmt.Errorf("%s is a %s; only files and directories are allowed", name, describe(mode))
		}
		if hasDotDot(name) {
			return fmt.Errorf("%s leads out of the directory", name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.Decompressor.Decompress(dst, src, dir, umask)
}

func scanZip(path string, _ Limits, see func(string, fs.FileMode) error) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	for _, f := range z.File {
		if err := see(f.Name, f.Mode()); err != nil {
			return err
		}
	}
	return nil
}

func scanTar(path string, l Limits, see func(string, fs.FileMode) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return scanTarStream(f, l, see)
}

func scanTarGz(path string, l Limits, see func(string, fs.FileMode) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	return scanTarStream(z, l, see)
}

func scanTarStream(r io.Reader, l Limits, see func(string, fs.FileMode) error) error {
	// Headers and padding come on top of the files: 1 KiB each.
	max := l.Bytes + int64(l.Files+2)<<10
	t := tar.NewReader(&cappedBody{ReadCloser: io.NopCloser(r), left: max, max: l.Bytes})
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag == tar.TypeLink {
			mode |= fs.ModeIrregular
		}
		if err := see(h.Name, mode); err != nil {
			return err
		}
	}
}
