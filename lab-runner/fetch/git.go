package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// commitID is a reference that a server may refuse to send on its own: all branches and tags are fetched then.
var commitID = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// repository is what is fetched of a git repository.
type repository struct {
	address string // without reference and directory
	ref     string // a branch, tag or commit; empty: what the server calls HEAD
	dir     string // the directory inside, with slashes; empty: all
	env     []string
}

// getGit puts the directory of the repository that src names into dir. The files are listed and counted before one of them is
// written; a link or a submodule among them is an error. Nothing of a repository is run, as its hooks and filters are settings,
// which are not sent.
func getGit(ctx context.Context, c *Config, src source, dir string) error {
	r, err := parseGit(ctx, c, src)
	if err != nil {
		return err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	clone := filepath.Join(filepath.Dir(dir), "clone")
	if err := os.Mkdir(clone, 0o700); err != nil {
		return err
	}
	if _, err := r.run(ctx, clone, "init", "-q", "--bare", "--template=", "."); err != nil {
		return err
	}
	at, err := r.fetch(ctx, clone)
	if err != nil {
		return err
	}
	spec := at + "^{tree}"
	if r.dir != "" {
		spec = at + ":" + r.dir
	}
	named, err := r.run(ctx, clone, "rev-parse", "--verify", "-q", spec)
	if err == nil {
		named, err = r.run(ctx, clone, "rev-parse", "--verify", "-q", strings.TrimSpace(string(named))+"^{tree}")
	}
	if err != nil {
		return fmt.Errorf("there is no directory %q in it", r.dir)
	}
	id := strings.TrimSpace(string(named))
	list, err := r.run(ctx, clone, "ls-tree", "-r", "-l", "-z", id)
	if err != nil {
		return err
	}
	if err := checkList(string(list), c.Limits); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if _, err := r.run(ctx, clone, "read-tree", id); err != nil {
		return err
	}
	_, err = r.run(ctx, clone, "--git-dir=.", "--work-tree="+dir, "checkout-index", "-q", "--all")
	return err
}

// fetch gets the objects, and returns the name of the commit.
func (r repository) fetch(ctx context.Context, clone string) (string, error) {
	args := []string{"fetch", "-q", "--no-tags", "--no-recurse-submodules", "--no-auto-gc"}
	if commitID.MatchString(r.ref) {
		_, err := r.run(ctx, clone, append(args, "--end-of-options", r.address, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")...)
		return r.ref, err
	}
	ref := r.ref
	if ref == "" {
		ref = "HEAD"
	}
	_, err := r.run(ctx, clone, append(args, "--depth=1", "--end-of-options", r.address, ref)...)
	return "FETCH_HEAD", err
}

// run runs git, which asks nobody and speaks the protocol of the address alone.
func (r repository) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, r.env
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return out.Bytes(), nil
}

// parseGit takes the address apart, and checks where it leads to.
func parseGit(ctx context.Context, c *Config, src source) (repository, error) {
	u, err := url.Parse(strings.TrimPrefix(src.address, "git::"))
	if err != nil {
		return repository{}, errors.New("the source is not an address")
	}
	r := repository{ref: u.Query().Get("ref")}
	u.RawQuery, u.Fragment = "", ""
	if path, dir, ok := strings.Cut(u.Path, "//"); ok {
		u.Path, r.dir = path, strings.Trim(filepath.ToSlash(filepath.Clean(dir)), "/")
	}
	u.RawPath = ""
	r.address = u.String()
	settings := map[string]string{
		"http.followRedirects": "false", // each address is checked, so none but the given one is asked
		"core.hooksPath":       os.DevNull,
		"core.fsmonitor":       "false",
		"core.symlinks":        "true",
		"core.autocrlf":        "false",
	}
	if u.Scheme == "https" {
		if settings["http.curloptResolve"], err = c.resolved(ctx, u); err != nil {
			return repository{}, err
		}
	}
	r.env = append(os.Environ(), "GIT_ALLOW_PROTOCOL="+u.Scheme, "GIT_TERMINAL_PROMPT=0", "GIT_LFS_SKIP_SMUDGE=1", "GIT_ASKPASS=", "LC_ALL=C")
	n := 0
	for name, value := range settings {
		if value == "" {
			continue
		}
		r.env = append(r.env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, name), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, value))
		n++
	}
	r.env = append(r.env, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
	return r, nil
}

// checkList returns an error for a list of git ls-tree -r -l -z that has anything but files, or more than the limits.
func checkList(list string, l Limits) error {
	var bytes int64
	files := 0
	for entry := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		if entry == "" {
			continue
		}
		meta, name, _ := strings.Cut(entry, "\t")
		fields := strings.Fields(meta) // mode, type, object, size
		switch {
		case len(fields) != 4:
			return fmt.Errorf("git lists %q, which is not understood", entry)
		case fields[0] == "120000":
			return fmt.Errorf("%s is a symbolic link; only files and directories are allowed", name)
		case fields[1] == "commit":
			return fmt.Errorf("%s is a submodule; only files and directories are allowed", name)
		case fields[1] != "blob":
			return fmt.Errorf("%s is a %s; only files and directories are allowed", name, fields[1])
		case hasDotDot(name):
			return fmt.Errorf("%s leads out of the directory", name)
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return fmt.Errorf("git lists %q, which is not understood", entry)
		}
		if files++; files > l.Files {
			return fmt.Errorf("more than %d files, the limit", l.Files)
		}
		if bytes += size; bytes > l.Bytes {
			return fmt.Errorf("more than %d bytes, the limit", l.Bytes)
		}
	}
	return nil
}
