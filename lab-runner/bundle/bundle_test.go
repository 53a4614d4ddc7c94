package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociclient"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// put writes files below a directory.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// save is an archive as `docker save` writes it: images of one architecture with the same first layer.
func save(t *testing.T, arch string, tags ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(name, text string) {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	type entry struct {
		Config           string
		RepoTags, Layers []string
	}
	var list []entry
	for n, tag := range tags {
		layers := []string{strings.Repeat("shared "+arch, 1000), fmt.Sprint("own ", arch, n)}
		config, err := json.Marshal(ocispec.Image{
			Platform: ocispec.Platform{Architecture: arch, OS: "linux"},
			RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(layers[0]), digest.FromString(layers[1])}},
		})
		if err != nil {
			t.Fatal(err)
		}
		e := entry{Config: digest.FromBytes(config).Encoded() + ".json", RepoTags: []string{tag}}
		add(e.Config, string(config))
		for i, l := range layers {
			name := fmt.Sprintf("%d-%d/layer.tar", n, i)
			e.Layers = append(e.Layers, name)
			if n > 0 && i == 0 {
				if err := w.WriteHeader(&tar.Header{Name: name, Linkname: "../0-0/layer.tar", Typeflag: tar.TypeSymlink}); err != nil {
					t.Fatal(err)
				}
				continue
			}
			add(name, l)
		}
		list = append(list, e)
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	add("manifest.json", string(data))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// inputs is a small directory of all that a bundle has.
func inputs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"bin/amd64/wheelhouse": "program", "bin/arm64/wheelhouse": "arm", "lab/lab-darwin-arm64": "lab", "deb/wheelhouse_1_amd64.deb": "deb", "deb/wheelhouse_1_arm64.deb": "deb",
		"labs/tracks.yaml": "tracks", "labs/workshop/inspector/lab.yaml": "lab", "labs/pi/hello/lab.yaml": "lab", "features/workshop/inspector.feature": "Feature", "slides/workshop/deck.md": "# deck",
		"images/amd64.tar": save(t, "amd64", "nginx:latest", "tutum/influxdb:latest"), "images/arm64.tar": save(t, "arm64", "arm64.bundle/nginx:latest", "b.gcr.io/kuar/inspector:1.0.0"),
		".git/config": "not packed", "labs/.hidden": "not packed",
	})
	if err := os.Chmod(filepath.Join(dir, "bin/amd64/wheelhouse"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func create(t *testing.T, c Create) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "class.tar")
	b, err := c.Write(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".bundle-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return out
}

// The same inputs make the same bytes, whenever and wherever they lie.
func TestReproducible(t *testing.T) {
	var sums []string
	for range 2 {
		data, err := os.ReadFile(create(t, Create{From: inputs(t)}))
		if err != nil {
			t.Fatal(err)
		}
		s := sha256.Sum256(data)
		sums = append(sums, hex.EncodeToString(s[:]))
	}
	if sums[0] != sums[1] {
		t.Errorf("two bundles of the same inputs: %v", sums)
	}
}

// What was packed is there, in place and extracted; what was not asked for is not.
func TestContent(t *testing.T) {
	out := create(t, Create{From: inputs(t), Arches: []string{"amd64"}, Labs: []string{"workshop"}})
	b, err := Verify(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	want := []string{"bin/amd64/wheelhouse", "lab/lab-darwin-arm64", "deb/wheelhouse_1_amd64.deb", "labs/tracks.yaml", "labs/workshop/inspector/lab.yaml", "features/workshop/inspector.feature", "slides/workshop/deck.md", "images/index.json"}
	if err := fstest.TestFS(b.Files(), want...); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"bin/arm64/wheelhouse", "deb/wheelhouse_1_arm64.deb", "labs/pi/hello/lab.yaml", ".git/config", "labs/.hidden", "../x"} {
		if _, err := b.Files().Open(name); err == nil {
			t.Errorf("%s is in the bundle", name)
		}
	}
	dir := t.TempDir()
	for range 2 { // a file that is there is replaced
		if err := b.Extract(dir, "bin", "labs/workshop"); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/amd64/wheelhouse")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("the program: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "slides")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("slides were extracted, too: %v", err)
	}
	if err := b.Extract(dir, "nothing"); err == nil {
		t.Error("nothing was extracted without an error")
	}
	for _, c := range []Create{{From: inputs(t), Arches: []string{"mips"}}, {From: inputs(t), Labs: []string{"../labs"}}, {From: t.TempDir()}} {
		if _, err := c.Write(t.Context(), filepath.Join(t.TempDir(), "x")); err == nil {
			t.Errorf("%+v made a bundle", c)
		}
	}
}

// Verify names the first member that is damaged or missing.
func TestDamage(t *testing.T) {
	whole, err := os.ReadFile(create(t, Create{From: inputs(t)}))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, []byte("Feature"))
	for name, damage := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"content":   {func(d []byte) []byte { d[at] ^= 1; return d }, "features/workshop/inspector.feature is damaged"},
		"header":    {func(d []byte) []byte { d[at-512] ^= 1; return d }, "features/workshop/inspector.feature is missing"},
		"cut":       {func(d []byte) []byte { return d[:at-512] }, "features/workshop/inspector.feature is missing"},
		"cut in it": {func(d []byte) []byte { return d[:at+3] }, "features/workshop/inspector.feature is damaged"},
		"index":     {func(d []byte) []byte { d[600] ^= 1; return d }, IndexName + " is damaged"},
		"more":      {func(d []byte) []byte { return append(d[:len(d)-1024], d[at-512:]...) }, "behind its last member"},
		"nothing":   {func([]byte) []byte { return nil }, "does not begin with " + IndexName},
	} {
		file := filepath.Join(t.TempDir(), "class.tar")
		if err := os.WriteFile(file, damage.change(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(file); err == nil || !strings.Contains(err.Error(), damage.want) {
			t.Errorf("%s: %v, want %q", name, err, damage.want)
		}
	}
}

// A bundle that was made to do harm is refused: names that lead out, links, wrong sizes, members in disorder.
func TestHostileBundle(t *testing.T) {
	text := []byte("x")
	good := Member{Name: "bin/x", Size: 1, SHA256: sum(text)}
	for what, c := range map[string]struct {
		members []Member
		headers []*tar.Header
	}{
		"parent":    {[]Member{{Name: "../x", Size: 1, SHA256: sum(text)}}, nil},
		"absolute":  {[]Member{{Name: "/etc/x", Size: 1, SHA256: sum(text)}}, nil},
		"twice":     {[]Member{good, good}, nil},
		"backslash": {[]Member{{Name: `a\..\x`, Size: 1, SHA256: sum(text)}}, nil},
		"negative":  {[]Member{{Name: "x", Size: -1, SHA256: sum(text)}}, nil},
		"huge":      {[]Member{{Name: "x", Size: maxMember + 1, SHA256: sum(text)}}, nil},
		"digest":    {[]Member{{Name: "x", Size: 1, SHA256: "../../x"}}, nil},
		"link":      {[]Member{good}, []*tar.Header{{Name: "bin/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}},
		"other":     {[]Member{good}, []*tar.Header{{Name: "bin/y", Typeflag: tar.TypeReg, Size: 1}}},
	} {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		data, err := encode(c.members)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.WriteHeader(header(Member{Name: IndexName, Size: int64(len(data))})), write2(w, data)); err != nil {
			t.Fatal(err)
		}
		for _, h := range c.headers {
			if err := errors.Join(w.WriteHeader(h), write2(w, text[:h.Size])); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Close()
		file := filepath.Join(t.TempDir(), "class.tar")
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := Open(file); err == nil {
			t.Errorf("%s: it was opened: %+v", what, b.Members())
		}
	}
	// What was in the directory before does not lead out of it either.
	b, err := Open(create(t, Create{From: inputs(t)}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := b.Extract(dir, "bin"); err == nil {
		t.Error("extracted through a link")
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside: %v, %v", left, err)
	}
}

func write2(w io.Writer, data []byte) error {
	_, err := w.Write(data)
	return err
}

// A bundle is served in place: the page, files as downloads, and images of both architectures under old names, each layer once.
func TestServe(t *testing.T) {
	b, err := Open(create(t, Create{From: inputs(t)}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	h, err := b.Handler()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	defer s.Close()
	get := func(path string) (int, string, http.Header) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.Header
	}
	if status, text, _ := get("/"); status != 200 || !strings.Contains(text, "docker.io/tutum/influxdb:latest") || !strings.Contains(text, "files/lab/lab-darwin-arm64") {
		t.Errorf("the page: %d %s", status, text)
	}
	if status, text, header := get("/files/slides/workshop/deck.md"); status != 200 || text != "# deck" || header.Get("Content-Disposition") != "attachment" {
		t.Errorf("a file: %d %q %v", status, text, header)
	}
	if status, text, _ := get("/files/../../etc/passwd"); status != 404 {
		t.Errorf("outside: %d %s", status, text)
	}
	c, err := ociclient.New(strings.TrimPrefix(s.URL, "http://"), &ociclient.Options{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, arches := range map[string]int{"docker.io/library/nginx:latest": 2, "library/nginx:latest": 2, "docker.io/tutum/influxdb:latest": 1, "b.gcr.io/kuar/inspector:1.0.0": 1} {
		at := strings.LastIndex(name, ":")
		if got := platforms(t.Context(), t, c, name[:at], name[at+1:]); got != arches {
			t.Errorf("%s has %d architectures, want %d", name, got, arches)
		}
	}
	layers := 0
	for _, m := range b.Members() {
		if strings.HasPrefix(m.Name, "images/blobs/") {
			layers++
		}
	}
	if want := 3 + 4 + 4 + 6; layers != want { // indexes, manifests, configurations, layers: a shared one and two others each
		t.Errorf("%d blobs, want %d", layers, want)
	}
}

// platforms pulls an image of each architecture, checks each blob, and counts them.
func platforms(ctx context.Context, t *testing.T, c ociregistry.Interface, repo, tag string) int {
	t.Helper()
	read := func(r ociregistry.BlobReader, err error) []byte {
		if err != nil {
			t.Fatalf("%s:%s: %v", repo, tag, err)
		}
		data, err := io.ReadAll(r) // the client checks the digest
		if err != nil {
			t.Fatalf("%s:%s: %v", repo, tag, err)
		}
		return data
	}
	var index ocispec.Index
	if err := json.Unmarshal(read(c.GetTag(ctx, repo, tag)), &index); err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		var manifest ocispec.Manifest
		if err := json.Unmarshal(read(c.GetManifest(ctx, repo, m.Digest)), &manifest); err != nil {
			t.Fatal(err)
		}
		for _, blob := range append(manifest.Layers, manifest.Config) {
			read(c.GetBlob(ctx, repo, blob.Digest))
		}
	}
	return len(index.Manifests)
}
