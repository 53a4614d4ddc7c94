// Package fetch copies a lab's files to a directory: from a local directory, over https (an
// archive or one file), or from a git repository. It restricts these to public addresses, to
// limits on bytes, files and time, to regular files and directories, and to contents pinned by
// a checksum. A failed fetch leaves no file at the destination, and no error contains a
// password of an address. The caller stores the checksum beside the source.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	getter "github.com/hashicorp/go-getter/v2"
)

// Limits of one fetch. A zero field takes the value of DefaultLimits.
type Limits struct {
	Bytes int64 // of the download, and of what it unpacks to
	Files int
	Time  time.Duration
}

// DefaultLimits are above the size of any lab's manifests and below what would fill a disk.
var DefaultLimits = Limits{Bytes: 32 << 20, Files: 1000, Time: 2 * time.Minute}

// Config names what to fetch, and where to.
type Config struct {
	Source   string // a directory, https://..., git::https://... or git::file://...
	Base     string // the directory that a relative Source is relative to
	Checksum string // "sha256:..." as Pin returns it; required unless Source is a local directory
	Dst      string // created by Fetch; must not exist
	Limits   Limits
	// Private agrees to addresses of private networks and of this machine; link-local ones are never fetched from.
	Private bool
	Client  *http.Client // for https; nil: a client that goes to https addresses only
}

// ErrUnpinned is returned for a remote source without a checksum. The error's text contains
// the current checksum.
var ErrUnpinned = errors.New("the source is not pinned")

// Fetch puts the files at c.Source into the new directory c.Dst.
func Fetch(ctx context.Context, c Config) error {
	_, err := fetch(ctx, &c, func(dir, sum string) error {
		if err := checkSum(c, sum); err != nil {
			return err
		}
		return os.Rename(dir, c.Dst)
	})
	return err
}

// Pin fetches c.Source and returns its checksum; it keeps no files.
func Pin(ctx context.Context, c Config) (string, error) {
	return fetch(ctx, &c, func(string, string) error { return nil })
}

// fetch gets the source into a temporary directory beside c.Dst, examines it, and calls keep.
func fetch(ctx context.Context, c *Config, keep func(dir, sum string) error) (string, error) {
	c.Limits = c.Limits.orDefault()
	src, err := parse(c.Source, c.Base)
	if err != nil {
		return "", err
	}
	parent := os.TempDir()
	if c.Dst != "" {
		if _, err := os.Lstat(c.Dst); err == nil {
			return "", fmt.Errorf("%s exists already: remove it, or name another directory", c.Dst)
		}
		parent = filepath.Dir(c.Dst)
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return "", fmt.Errorf("creating a directory for %s: %w", src, err)
		}
	}
	tmp, err := os.MkdirTemp(parent, ".fetch-")
	if err != nil {
		return "", fmt.Errorf("creating a directory for %s: %w", src, err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()

	dir := filepath.Join(tmp, "files")
	if err := get(ctx, c, src, dir); err != nil {
		return "", fmt.Errorf("fetching %s: %w", src, src.redact(err))
	}
	sum, err := examine(dir, c.Limits)
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w", src, err)
	}
	return sum, keep(dir, sum)
}

func checkSum(c Config, sum string) error {
	src, err := parse(c.Source, c.Base)
	if err != nil {
		return err
	}
	switch {
	case c.Checksum == sum, c.Checksum == "" && src.kind == local:
		return nil
	case c.Checksum == "":
		return fmt.Errorf("%w: %s. Review its files, then add 'checksum: %s'", ErrUnpinned, src, sum)
	}
	return fmt.Errorf("%s has changed: its files have %s, and the lab names %s. Review the change before you set the new checksum", src, sum, c.Checksum)
}

func (l Limits) orDefault() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultLimits.Bytes
	}
	if l.Files <= 0 {
		l.Files = DefaultLimits.Files
	}
	if l.Time <= 0 {
		l.Time = DefaultLimits.Time
	}
	return l
}

// get runs go-getter, with every getter and decompressor disabled that src does not need.
func get(ctx context.Context, c *Config, src source, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Limits.Time, fmt.Errorf("not done after %v, the limit", c.Limits.Time))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	client := &getter.Client{DisableSymlinks: true, Decompressors: map[string]getter.Decompressor{}}
	switch src.kind {
	case local:
		// Examined before it is copied: the limits apply to the copy.
		if _, err := examine(src.path, c.Limits); err != nil {
			return err
		}
		client.Getters = []getter.Getter{&getter.FileGetter{}}
	case https:
		client.Decompressors = archives(c.Limits)
		web, err := c.limited()
		if err != nil {
			return err
		}
		client.Getters = []getter.Getter{&getter.HttpGetter{
			Client:                web,
			XTerraformGetDisabled: true,
			DoNotCheckHeadFirst:   true,
		}}
	case git:
		// git has no limit on the size of what it receives.
		go watchSize(ctx, stop, filepath.Dir(dir), c.Limits)
		err := getGit(ctx, c, src, dir)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		return err
	}
	// In place, because go-getter would create a symbolic link to a local directory.
	got, err := client.Get(ctx, &getter.Request{Src: src.address, Dst: dir, Inplace: src.kind == local, GetMode: src.mode(), DisableSymlinks: true})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	if src.kind == local {
		return os.CopyFS(dir, os.DirFS(got.Dst))
	}
	return nil
}

func watchSize(ctx context.Context, stop context.CancelCauseFunc, dir string, l Limits) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var bytes int64
		// Files change while git runs; errors are ignored.
		_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					bytes += info.Size()
				}
			}
			return nil
		})
		// A clone has each file twice: packed, and checked out.
		if bytes > 2*l.Bytes {
			stop(fmt.Errorf("more than %d bytes, the limit", l.Bytes))
			return
		}
	}
}

// limited returns c.Client with three restrictions: it requests https addresses only, connects to allowed addresses only, and a
// body longer than the limit is an error.
func (c *Config) limited() (*http.Client, error) {
	out := http.Client{}
	if c.Client != nil {
		out = *c.Client
	}
	if out.Transport == nil {
		out.Transport = http.DefaultTransport
	}
	from, ok := out.Transport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("the client's transport is a %T, which cannot be restricted", out.Transport)
	}
	out.Transport = capped{c.guard(from), c.Limits.Bytes}
	out.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("more than five redirects")
		}
		return nil
	}
	return &out, nil
}

type capped struct {
	http.RoundTripper
	max int64
}

func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("it redirects to a %s address, and only https is fetched", r.URL.Scheme)
	}
	res, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = &cappedBody{ReadCloser: res.Body, left: c.max, max: c.max}
	return res, nil
}

type cappedBody struct {
	io.ReadCloser
	left, max int64
}

func (b *cappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("more than %d bytes, the limit", b.max)
	}
	return n, err
}
