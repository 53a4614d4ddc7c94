package fetch

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const podText = "kind: Pod\n"

func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type entry struct {
	name, body string
	kind       byte
}

func tgz(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Typeflag: e.kind, Size: int64(len(e.body))}
		if e.kind == tar.TypeSymlink || e.kind == tar.TypeLink {
			h.Linkname, h.Size = e.body, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(e.body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		h := &zip.FileHeader{Name: strings.TrimSuffix(name, "@"), Method: zip.Deflate}
		h.SetMode(0o644)
		if strings.HasSuffix(name, "@") {
			h.SetMode(os.ModeSymlink | 0o777)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		body := podText
		if name == "bomb" {
			body = strings.Repeat("0", 1<<20)
		}
		if _, err := f.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// serve is a TLS server on loopback, with the client that trusts it.
func serve(t *testing.T, bodies map[string][]byte) (*httptest.Server, *http.Client) {
	t.Helper()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/slow.tgz":
			<-r.Context().Done()
		case r.URL.Path == "/plain.tgz":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case r.URL.Path == "/metadata.tgz":
			http.Redirect(w, r, "https://169.254.169.254/latest.tgz", http.StatusFound)
		case r.URL.Path == "/terraform.yaml":
			w.Header().Set("X-Terraform-Get", "file:///etc")
			http.NotFound(w, r)
		case bodies[r.URL.Path] == nil:
			http.NotFound(w, r)
		default:
			if _, err := w.Write(bodies[r.URL.Path]); err != nil {
				t.Log(err)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s, s.Client()
}

func run(t *testing.T, c Config) (string, error) {
	t.Helper()
	c.Dst = filepath.Join(t.TempDir(), "deep", "dst")
	c.Private = !strings.Contains(t.Name(), "Private")
	err := Fetch(t.Context(), c)
	if _, there := os.Stat(c.Dst); err != nil && there == nil {
		t.Errorf("%s failed and left %s behind", c.Source, c.Dst)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(c.Dst), ".fetch-*"))
	if len(left) > 0 {
		t.Errorf("%s left %v behind", c.Source, left)
	}
	return c.Dst, err
}

func wantPod(t *testing.T, dst, name string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dst, name))
	if err != nil || string(text) != podText {
		t.Fatalf("%s: %q, %v", name, text, err)
	}
}

func TestLocalFolder(t *testing.T) {
	base := t.TempDir()
	write(t, filepath.Join(base, "manifests"), map[string]string{"pod.yaml": podText, "more/rc.yaml": "kind: RC\n"})
	dst, err := run(t, Config{Source: "manifests", Base: base})
	wantPod(t, dst, "pod.yaml", err)
	if _, err := os.Stat(filepath.Join(dst, "more", "rc.yaml")); err != nil {
		t.Fatal(err)
	}
}

func TestHTTPSArchivesAndFilesPinned(t *testing.T) {
	server, client := serve(t, map[string][]byte{
		"/lab.tgz":  tgz(t, entry{"pod.yaml", podText, tar.TypeReg}),
		"/lab.zip":  zipped(t, "pod.yaml"),
		"/pod.yaml": []byte(podText),
		"/sub.tgz":  tgz(t, entry{"a/b/pod.yaml", podText, tar.TypeReg}, entry{"other", "x", tar.TypeReg}),
	})
	for _, path := range []string{"/lab.tgz", "/lab.zip", "/pod.yaml", "/sub.tgz//a/b"} {
		c := Config{Source: server.URL + path, Client: client, Private: true}
		_, err := run(t, c)
		if err == nil || !strings.Contains(err.Error(), "sha256:") {
			t.Errorf("%s without a checksum: %v, wanted it refused with the checksum to write", path, err)
		}
		if c.Checksum, err = Pin(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		dst, err := run(t, c)
		wantPod(t, dst, "pod.yaml", err)
		c.Checksum = "sha256:" + strings.Repeat("0", 64)
		if _, err = run(t, c); err == nil || !strings.Contains(err.Error(), "has changed") {
			t.Errorf("%s with another checksum: %v", path, err)
		}
	}
}

func gitRun(t *testing.T, repo string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
	cmd.Dir = repo
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

func TestGitRepository(t *testing.T) {
	repo := write(t, t.TempDir(), map[string]string{"labs/pod.yaml": podText, "labs/.gitattributes": "* filter=evil\n"})
	gitRun(t, repo, "init", "-q", "-b", "main")
	gitRun(t, repo, "add", ".")
	gitRun(t, repo, "commit", "-qm", "one")
	gitRun(t, repo, "tag", "v1")
	commit, err := exec.CommandContext(t.Context(), "git", "-C", repo, "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	var sum string
	for _, ref := range []string{"?ref=v1", "?ref=main", "", "?ref=" + strings.TrimSpace(string(commit)), "?ref=" + string(commit[:8])} {
		c := Config{Source: "git::file://" + repo + "//labs" + ref}
		got, err := Pin(t.Context(), c)
		if err != nil || sum != "" && got != sum {
			t.Fatalf("%s: %s, %v; want %s", ref, got, err, sum)
		}
		sum, c.Checksum = got, got
		dst, err := run(t, c)
		wantPod(t, dst, "pod.yaml", err)
	}
	c := Config{Source: "git::file://" + repo, Checksum: "sha256:other"}
	if _, err := run(t, c); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("another checksum: %v", err)
	}
	for source, want := range map[string]string{
		"git::file://" + repo + "//nowhere":    `no directory "nowhere"`,
		"git::file://" + repo + "?ref=v7":      "git fetch",
		"git::file://" + repo + "//labs/../..": "plain path inside",
	} {
		if _, err := run(t, Config{Source: source, Checksum: "sha256:any"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
}

// A repository is sent by a stranger: what is in it is counted and looked at before a file is written.
func TestHostileRepositories(t *testing.T) {
	inner := write(t, t.TempDir(), map[string]string{"f": "x"})
	gitRun(t, inner, "init", "-q", "-b", "main")
	gitRun(t, inner, "add", ".")
	gitRun(t, inner, "commit", "-qm", "one")
	link := func(target, name string) func(string) {
		return func(repo string) {
			if err := os.Symlink(target, filepath.Join(repo, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	many := map[string]string{}
	for _, c := range "abcdefghijkl" {
		many[string(c)] = "x"
	}
	for _, c := range []struct {
		name, sub string
		change    func(repo string)
		want      string
	}{
		{"a link", "", link("/etc/passwd", "link"), "link is a symbolic link"},
		{"a link as the directory", "//sub", link("/etc", "sub"), "no directory"},
		{"a link on the way to the directory", "//sub/ssl", link("/etc", "sub"), "no directory"},
		{"a submodule", "", func(repo string) {
			gitRun(t, repo, "-c", "protocol.file.allow=always", "submodule", "-q", "add", inner, "sub")
		}, "sub is a submodule"},
		{"many files", "", func(repo string) { write(t, repo, many) }, "more than 10 files"},
		{"large ones", "", func(repo string) { write(t, repo, map[string]string{"zeros": strings.Repeat("0", 200_000)}) }, "more than 100000 bytes"},
		{"nothing in it", "//empty", func(repo string) { write(t, repo, map[string]string{"x": "y"}) }, "no directory"},
	} {
		repo := t.TempDir()
		gitRun(t, repo, "init", "-q", "-b", "main")
		c.change(repo)
		gitRun(t, repo, "add", ".")
		gitRun(t, repo, "commit", "-qm", "one")
		_, err := run(t, Config{Source: "git::file://" + repo + c.sub, Checksum: "sha256:any", Limits: Limits{Bytes: 100_000, Files: 10}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	linked := t.TempDir()
	write(t, linked, map[string]string{"pod.yaml": podText})
	if err := os.Symlink("/etc/passwd", filepath.Join(linked, "passwd")); err != nil {
		t.Fatal(err)
	}
	many := map[string]string{}
	for _, c := range "abcdefghijkl" {
		many[string(c)] = "x"
	}
	server, client := serve(t, map[string][]byte{
		"/big.yaml":     bytes.Repeat([]byte("0"), 100_001),
		"/bomb.zip":     zipped(t, "bomb"),
		"/bomb.tgz":     tgz(t, entry{"bomb", strings.Repeat("0", 1<<20), tar.TypeReg}),
		"/many.zip":     zipped(t, strings.Split("abcdefghijkl", "")...),
		"/link.zip":     zipped(t, "passwd@"),
		"/link.tgz":     tgz(t, entry{"passwd", "/etc/passwd", tar.TypeSymlink}),
		"/hardlink.tgz": tgz(t, entry{"passwd", "/etc/passwd", tar.TypeLink}),
		"/device.tgz":   tgz(t, entry{"null", "", tar.TypeChar}),
		"/escape.tgz":   tgz(t, entry{"../../escaped", "x", tar.TypeReg}),
		"/escape.zip":   zipped(t, "../escaped"),
		"/absolute.tgz": tgz(t, entry{"/../etc/escaped", "x", tar.TypeReg}),
		"/fifo.tgz":     tgz(t, entry{"fifo", "", tar.TypeFifo}),
		"/through.tgz":  tgz(t, entry{"d", "/tmp", tar.TypeSymlink}, entry{"d/escaped", "x", tar.TypeReg}),
		"/empty.tgz":    tgz(t),
		"/broken.tgz":   []byte("this is no archive"),
	})
	cases := []struct{ name, source, want string }{
		{"no source", "", "no source"},
		{"not a directory", "/nowhere/at/all", "no such file"},
		{"a link in a directory", linked, "symbolic link"},
		{"many files in a directory", write(t, t.TempDir(), many), "more than 10 files"},
		{"plain http", "http://127.0.0.1/lab.tgz", `"http" is not fetched from`},
		{"ssh", "git::ssh://git@127.0.0.1/lab.git", `"ssh" is not fetched from`},
		{"git by ssh's short form", "git@127.0.0.1:lab.git", "give a directory"},
		{"mercurial", "hg::https://127.0.0.1/lab", "is not fetched from"},
		{"file as address", "file:///etc", `"file" is not fetched from`},
		{"git's own programs", "git::ext::sh -c id", "is not"},
		{"a program as a getter", "ext::sh -c id", "is not"},
		{"a file by a getter", "file::/etc/passwd", "is not"},
		{"a file by git's getter", "git::file::/etc", "is not"},
		{"a getter twice", "https::https://127.0.0.1/lab.tgz", "is not fetched from"},
		{"a bucket", "s3::https://127.0.0.1/lab.tgz", "is not fetched from"},
		{"another form of archive", "https://127.0.0.1/lab?archive=tgz", `"archive" is not taken`},
		{"a checksum in the address", "https://127.0.0.1/lab.tgz?checksum=file:https://127.0.0.1/sum", `"checksum" is not taken`},
		{"a depth", "git::https://127.0.0.1/x?depth=1", `"depth" is not taken`},
		{"a ref that is a short option", "git::https://127.0.0.1/x?ref=-c", "is no branch"},
		{"a ref with a line feed", "git::https://127.0.0.1/x?ref=a%0a-c", "is no branch"},
		{"a ref of a range", "git::https://127.0.0.1/x?ref=a:refs/heads/b", "is no branch"},
		{"a host that is an option", "git::https://-oProxyCommand=id/x", "does not begin with '-'"},
		{"a user that is an option", "git::https://-oProxyCommand=id@127.0.0.1/x", "does not begin with '-'"},
		{"a directory that climbs in git", "git::https://127.0.0.1/x//../..", "plain path inside"},
		{"a ref that is an option", "git::https://127.0.0.1/x?ref=--upload-pack=id", "is no branch"},
		{"a key in the address", "git::https://127.0.0.1/x?sshkey=AAAA", `"sshkey" is not taken`},
		{"a path that climbs", "https://127.0.0.1/lab.tgz//../..", "plain path inside"},
		{"not there", server.URL + "/missing.tgz", "404"},
		{"another address by redirect", server.URL + "/plain.tgz", "only https is fetched"},
		{"link-local by redirect", server.URL + "/metadata.tgz", "never fetched from"},
		{"another address by header", server.URL + "/terraform.yaml", "404"},
		{"slow", server.URL + "/slow.tgz", "the limit"},
		{"large", server.URL + "/big.yaml", "more than 100000 bytes"},
		{"zip bomb", server.URL + "/bomb.zip", "larger than limit"},
		{"tar bomb", server.URL + "/bomb.tgz", "more than 100000 bytes"},
		{"many files in an archive", server.URL + "/many.zip", "more than 10 files"},
		{"link in a zip", server.URL + "/link.zip", "symbolic link"},
		{"link in a tar", server.URL + "/link.tgz", "symbolic link"},
		{"hard link in a tar", server.URL + "/hardlink.tgz", "special file"},
		{"device in a tar", server.URL + "/device.tgz", "special file"},
		{"tar that climbs", server.URL + "/escape.tgz", "leads out"},
		{"tar that climbs from the root", server.URL + "/absolute.tgz", "leads out"},
		{"pipe in a tar", server.URL + "/fifo.tgz", "special file"},
		{"tar that goes through its own link", server.URL + "/through.tgz", "symbolic link"},
		{"zip that climbs", server.URL + "/escape.zip", "leads out"},
		{"empty archive", server.URL + "/empty.tgz", "empty archive"},
		{"no archive", server.URL + "/broken.tgz", "gzip: invalid header"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := Limits{Bytes: 100_000, Files: 10, Time: 2 * time.Second}
			if c.name != "slow" {
				l.Time = 20 * time.Second
			}
			_, err := run(t, Config{Source: c.source, Client: client, Limits: l, Checksum: "sha256:any"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, wanted %q in it", err, c.want)
			}
		})
	}
}

func TestPasswordsAreNotRepeated(t *testing.T) {
	server, client := serve(t, nil)
	address := strings.Replace(server.URL, "https://", "https://ann:s3cret@", 1)
	for _, source := range []string{address + "/missing.tgz", "git::" + address + "/missing.git", "ftp://ann:s3cret@127.0.0.1/x", "https://ann:s3cret@%zz"} {
		_, err := run(t, Config{Source: source, Client: client, Checksum: "sha256:any"})
		if err == nil {
			t.Fatalf("%s: fetched", source)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the password is in: %v", err)
		}
	}
}
