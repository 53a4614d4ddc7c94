// Package fetch brings a lab's files to this machine: from a local directory, over https
// (an archive or one file), or from a git repository. It wraps go-getter and owns what a
// classroom needs beyond it: nothing but those three ways in, limits on bytes, files and
// time, regular files and directories only, and contents pinned by a checksum. What does not
// pass leaves no file at the destination, and no error repeats a password of an address.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	getter "github.com/hashicorp/go-getter/v2"
)

// Limits of one fetch. A zero field takes the value of DefaultLimits.
type Limits struct {
	Bytes int64 // of the download, and of what it unpacks to
	Files int
	Time  time.Duration
}

// DefaultLimits are far above any lab's manifests and far below what fills a disk.
var DefaultLimits = Limits{Bytes: 32 << 20, Files: 1000, Time: 2 * time.Minute}

// Config says what to fetch.
type Config struct {
	Source   string // a directory, https://..., git::https://... or git::file://...
	Base     string // the directory that a relative Source is relative to
	Checksum string // "sha256:..." as Sum gives it; needed unless Source is a local directory
	Dst      string // made by Fetch; must not exist
	Limits   Limits
	Client   *http.Client // for https; nil: a client that goes to https addresses only
}

// ErrUnpinned is returned for a remote source without a checksum. The error's text names
// the checksum of what is there now.
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

// Pin fetches c.Source and returns the checksum to put beside it; nothing is kept.
func Pin(ctx context.Context, c Config) (string, error) {
	return fetch(ctx, &c, func(string, string) error { return nil })
}

// fetch gets the source into a directory beside c.Dst, examines it, and lets keep decide.
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
			return "", fmt.Errorf("making room for %s: %w", src, err)
		}
	}
	tmp, err := os.MkdirTemp(parent, ".fetch-")
	if err != nil {
		return "", fmt.Errorf("making room for %s: %w", src, err)
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
		return fmt.Errorf("%w: %s. Look at what is there, then write 'checksum: %s' beside it", ErrUnpinned, src, sum)
	}
	return fmt.Errorf("%s has changed: its files have %s, and the lab names %s. Look at what changed before you take the new checksum", src, sum, c.Checksum)
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

// get lets go-getter do the work, with every door shut that src does not need.
func get(ctx context.Context, c *Config, src source, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Limits.Time, fmt.Errorf("not done after %v, the limit", c.Limits.Time))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	client := &getter.Client{DisableSymlinks: true, Decompressors: map[string]getter.Decompressor{}}
	switch src.kind {
	case local:
		// Looked at before it is copied: a copy of too much is what the limits are for.
		if _, err := examine(src.path, c.Limits); err != nil {
			return err
		}
		client.Getters = []getter.Getter{&getter.FileGetter{}}
	case https:
		client.Decompressors = archives(c.Limits)
		client.Getters = []getter.Getter{&getter.HttpGetter{
			Client:                limited(c.Client, c.Limits.Bytes),
			XTerraformGetDisabled: true,
			DoNotCheckHeadFirst:   true,
		}}
	case git:
		if err := gitEnvironment(src); err != nil {
			return err
		}
		client.Getters = []getter.Getter{&getter.GitGetter{}}
		// git knows no limit on what it is sent.
		go watchSize(ctx, stop, filepath.Dir(dir), c.Limits)
	}
	// In place, because go-getter would make a symbolic link to a local directory.
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
	return os.RemoveAll(filepath.Join(dir, ".git"))
}

// gitEnvironment holds git, and what a repository makes it fetch, to src's own protocol,
// and keeps it from asking for a password. go-getter passes this process's environment on.
func gitEnvironment(src source) error {
	protocol := "https"
	if strings.HasPrefix(src.address, "git::file:") {
		protocol = "file"
	}
	for name, value := range map[string]string{"GIT_ALLOW_PROTOCOL": protocol, "GIT_TERMINAL_PROMPT": "0"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
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
		// Files come and go while git works; what cannot be seen is not counted.
		_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					bytes += info.Size()
				}
			}
			return nil
		})
		// A repository holds its files twice: packed, and checked out.
		if bytes > 2*l.Bytes {
			stop(fmt.Errorf("more than %d bytes, the limit", l.Bytes))
			return
		}
	}
}

// limited is client with two more rules: it goes to https addresses only, and a body
// longer than max is an error, not a shorter body.
func limited(client *http.Client, max int64) *http.Client {
	out := http.Client{}
	if client != nil {
		out = *client
	}
	if out.Transport == nil {
		out.Transport = http.DefaultTransport
	}
	out.Transport = capped{out.Transport, max}
	out.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("it leads on more than five times")
		}
		return nil
	}
	return &out
}

type capped struct {
	http.RoundTripper
	max int64
}

func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("it leads to a %s address, and only https is fetched", r.URL.Scheme)
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
