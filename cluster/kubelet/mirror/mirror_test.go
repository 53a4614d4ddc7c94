package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// image pushes an image of one layer for an architecture.
func image(t *testing.T, r ociregistry.Interface, repo, arch string) ociregistry.Descriptor {
	t.Helper()
	push := func(kind string, data []byte) ociregistry.Descriptor {
		d, err := r.PushBlob(t.Context(), repo, ociregistry.Descriptor{MediaType: kind, Digest: digest.FromBytes(data), Size: int64(len(data))}, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = push(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","architecture":"`+arch+`"}`))
	m.Layers = []ocispec.Descriptor{push(ocispec.MediaTypeImageLayer, []byte("layer of "+arch))}
	d := pushJSON(t, r, repo, "", m.MediaType, m)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

func pushJSON(t *testing.T, r ociregistry.Interface, repo, tag, kind string, value any) ociregistry.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.PushManifest(t.Context(), repo, tag, data, kind)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// served is a mirror with one image for two architectures. It records what credentials it gets, and changes layers if told to.
type served struct {
	*httptest.Server
	mu          sync.Mutex
	credentials []string
	tamper      bool
}

func serve(t *testing.T) (*served, *Mirror) {
	t.Helper()
	r := ocimem.New()
	const repo = "docker.io/tutum/influxdb"
	list := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, arch := range []string{"arm64", "amd64"} {
		list.Manifests = append(list.Manifests, image(t, r, repo, arch))
	}
	pushJSON(t, r, repo, "latest", list.MediaType, list)
	s := &served{}
	h := ociserver.New(r, nil)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		s.credentials = append(s.credentials, q.Header.Get("Authorization"))
		tamper := s.tamper
		s.mu.Unlock()
		if tamper && strings.HasSuffix(q.URL.Path, digest.FromString("layer of amd64").String()) {
			_, _ = w.Write([]byte("LAYER of amd64"))
			return
		}
		h.ServeHTTP(w, q)
	}))
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	m, err := New(s.URL, ca, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

// engine keeps what it loads, and what it is asked to pull itself.
type engine struct {
	loaded map[string]string
	pulls  []string
	err    error
}

func (e *engine) Load(_ context.Context, archive io.Reader) error {
	files := map[string]string{}
	for t := tar.NewReader(archive); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		files[h.Name] = string(data)
	}
	if files["manifest.json"] == "" {
		return errors.New("no manifest.json")
	}
	e.loaded = files
	return nil
}

func (e *engine) Reach(context.Context, string, string) error { return e.err }

func (e *engine) Pull(_ context.Context, ref, auth string) error {
	e.pulls = append(e.pulls, ref+" "+auth)
	return e.err
}

// An image comes from the mirror under the manifest's name, for the node's architecture, without a pod's credentials.
func TestPull(t *testing.T) {
	s, m := serve(t)
	e := &engine{err: errors.New("dial tcp: no route to host")}
	source := Source{m, e}
	for _, ref := range []string{"docker.io/tutum/influxdb:latest", "tutum/influxdb", "tutum/influxdb:latest"} {
		e.loaded = nil
		if err := source.Pull(t.Context(), ref, "secret"); err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		var list []struct {
			Config           string
			RepoTags, Layers []string
		}
		if err := json.Unmarshal([]byte(e.loaded["manifest.json"]), &list); err != nil {
			t.Fatal(err)
		}
		if got := list[0]; got.RepoTags[0] != "docker.io/tutum/influxdb:latest" || e.loaded[got.Layers[0]] != "layer of amd64" || !strings.Contains(e.loaded[got.Config], "amd64") {
			t.Errorf("%s: %+v, %q", ref, got, e.loaded)
		}
		if err := source.Reach(t.Context(), ref, "secret"); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if len(e.pulls) > 0 {
		t.Errorf("the engine was asked to pull %v", e.pulls)
	}
	for _, c := range s.credentials {
		if c != "" {
			t.Errorf("the mirror was sent %q", c)
		}
	}
}

// What the mirror does not have, or sends wrong, comes from the image's own registry, with the pod's credentials.
func TestFallback(t *testing.T) {
	s, m := serve(t)
	for _, ref := range []string{
		"b.gcr.io/kuar/inspector:1.0.0", "tutum/influxdb:2", "tutum/influxdb@" + digest.FromString("x").String(),
		"tutum/influxdb:latest@" + digest.FromString("x").String(),
	} {
		e := &engine{}
		if err := (Source{m, e}).Pull(t.Context(), ref, "secret"); err != nil || len(e.pulls) != 1 || e.pulls[0] != ref+" secret" || e.loaded != nil {
			t.Errorf("%s: %v, pulled %q, loaded %v", ref, err, e.pulls, e.loaded)
		}
	}
	s.mu.Lock()
	s.tamper = true
	s.mu.Unlock()
	e := &engine{err: errors.New("dial tcp: no route to host")}
	err := Source{m, e}.Pull(t.Context(), "tutum/influxdb:latest", "")
	if err == nil || !strings.Contains(err.Error(), "no route to host") || !strings.Contains(err.Error(), "from the image mirror") || e.loaded != nil {
		t.Errorf("a layer that was changed: %v, loaded %q", err, e.loaded)
	}
	s.Close()
	if err := (Source{m, e}).Reach(t.Context(), "tutum/influxdb:latest", ""); err == nil {
		t.Error("a mirror that is gone is reached")
	}
	other, err := New("https://"+s.Listener.Addr().String(), nil, "arm")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Has(t.Context(), "tutum/influxdb"); err == nil || errors.Is(err, ErrNotThere) {
		t.Errorf("a mirror that is gone: %v", err)
	}
	for _, address := range []string{"", "mirror:5000", "ftp://mirror", "https://user:password@mirror", "https://mirror/path"} {
		if _, err := New(address, nil, "amd64"); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}

// Save writes the images of an architecture into one archive, each file once; what the registry does not have is left out.
func TestSave(t *testing.T) {
	r := ocimem.New()
	for _, repo := range []string{"docker.io/library/nginx", "docker.io/library/httpd"} {
		list := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
		list.Manifests = append(list.Manifests, image(t, r, repo, "arm64"))
		pushJSON(t, r, repo, "1", list.MediaType, list)
	}
	var out bytes.Buffer
	names, err := Save(t.Context(), r, "arm64", []string{"nginx:1", "httpd:1", "absent:1"}, &out)
	if err != nil || strings.Join(names, " ") != "docker.io/library/nginx:1 docker.io/library/httpd:1" {
		t.Fatal(names, err)
	}
	e := &engine{}
	if err := e.Load(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if text := e.loaded["manifest.json"]; !strings.Contains(text, "docker.io/library/nginx:1") || !strings.Contains(text, "docker.io/library/httpd:1") || len(e.loaded) != 3 {
		t.Errorf("the archive has %q", e.loaded)
	}
	if _, err := Save(t.Context(), r, "amd64", []string{"nginx:1"}, io.Discard); err == nil {
		t.Error("an archive without images")
	}
}
