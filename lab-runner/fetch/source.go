package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	getter "github.com/hashicorp/go-getter/v2"
)

type kind int

const (
	local kind = iota
	https
	git
)

// source is a validated address.
type source struct {
	kind    kind
	address string // in go-getter's form
	shown   string // without a password
	path    string // of a local directory
	secrets []string
}

func (s source) String() string { return s.shown }

func (s source) mode() getter.Mode {
	if s.kind == https {
		return getter.ModeAny
	}
	return getter.ModeDir
}

// redact removes the address's user and password from err's text: errors of git and net/http
// contain addresses.
func (s source) redact(err error) error {
	text := err.Error()
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

var gitRef = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/-]*$`)

func parse(raw, base string) (source, error) {
	if raw == "" {
		return source{}, errors.New("no source: give a directory, an https address or git::https://")
	}
	address, isGit := strings.CutPrefix(raw, "git::")
	if !isGit && !strings.Contains(address, ":") {
		return parseLocal(address, base)
	}
	u, err := url.Parse(address)
	if err != nil {
		// url.Error contains the address, with its password.
		return source{}, errors.New("the source is not an address: give a directory, an https address or git::https://")
	}
	s := source{kind: https, address: raw, shown: u.Redacted()}
	if password, ok := u.User.Password(); ok {
		s.secrets = append(s.secrets, u.User.String(), password)
	}
	if isGit {
		s.kind, s.shown = git, "git::"+s.shown
	}
	switch {
	case strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-"):
		return source{}, fmt.Errorf("%s: a host does not begin with '-'", s)
	case u.Scheme == "https" && u.Host != "":
	case u.Scheme == "file" && isGit && u.Host == "" && filepath.IsAbs(u.Path):
	default:
		return source{}, fmt.Errorf("%s: %q is not fetched from; give a directory, an https address (an archive: .zip, .tar, .tar.gz, .tgz; or one file), or git::https://", s, strings.TrimSuffix(u.Scheme, ":"))
	}
	query := u.Query()
	for name := range query {
		// go-getter's own words, such as sshkey, open doors that stay shut here.
		if !isGit || name != "ref" {
			return source{}, fmt.Errorf("%s: the parameter %q is not taken; only ?ref= of a git address is", s, name)
		}
	}
	if ref := query.Get("ref"); query.Has("ref") && !gitRef.MatchString(ref) {
		return source{}, fmt.Errorf("%s: %q is no branch, tag or commit", s, ref)
	}
	if _, sub := getter.SourceDirSubdir(address); strings.ContainsAny(sub, "*?[") || hasDotDot(sub) {
		return source{}, fmt.Errorf("%s: the directory after // must be a plain path inside", s)
	}
	return s, nil
}

func parseLocal(path, base string) (source, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return source{}, err
	}
	u := url.URL{Scheme: "file", Path: path}
	return source{kind: local, address: u.String(), shown: path, path: path}, nil
}

func hasDotDot(path string) bool {
	for part := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if part == ".." {
			return true
		}
	}
	return false
}
