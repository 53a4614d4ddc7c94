package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociauth"
	"cuelabs.dev/go/oci/ociregistry/ociclient"
	"github.com/golang-jwt/jwt/v5"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const password = "correct horse battery"

// served is a registry behind TLS.
func served(t *testing.T, c Config) *httptest.Server {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewTLSServer(r)
	t.Cleanup(s.Close)
	return s
}

type login struct{ user, password string }

func (l login) EntryForRegistry(string) (ociauth.ConfigEntry, error) {
	return ociauth.ConfigEntry{Username: l.user, Password: l.password}, nil
}

// client speaks to a registry as a program of others does.
func client(t *testing.T, s *httptest.Server, l login) ociregistry.Interface {
	t.Helper()
	c, err := ociclient.New(strings.TrimPrefix(s.URL, "https://"), &ociclient.Options{
		Transport: ociauth.NewStdTransport(ociauth.StdTransportParams{Config: l, Transport: s.Client().Transport}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pushImage pushes an image of one layer and returns its manifest's digest and the layer's.
func pushImage(t *testing.T, c ociregistry.Interface, repo, tag, text string) (manifest, layer ociregistry.Digest) {
	t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	push := func(data, kind string) ociregistry.Descriptor {
		desc := ociregistry.Descriptor{MediaType: kind, Digest: digest.FromString(data), Size: int64(len(data))}
		if _, err := c.PushBlob(t.Context(), repo, desc, strings.NewReader(data)); err != nil {
			t.Fatalf("push a blob to %s: %v", repo, err)
		}
		return desc
	}
	m.Config = push(`{"architecture":"amd64","os":"linux"}`, ocispec.MediaTypeImageConfig)
	m.Layers = []ociregistry.Descriptor{push(text, ocispec.MediaTypeImageLayer)}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := c.PushManifest(t.Context(), repo, tag, data, m.MediaType)
	if err != nil {
		t.Fatalf("push the manifest of %s: %v", repo, err)
	}
	return desc.Digest, m.Layers[0].Digest
}

// get returns status and body of a request without the client's own checks.
func get(t *testing.T, s *httptest.Server, method, path string, header map[string]string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
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
	return resp.StatusCode, string(text)
}

// What the instructor pushes everybody pulls, under each of its names, also after a restart; nobody else pushes.
func TestPushAndPull(t *testing.T) {
	dir := t.TempDir()
	s := served(t, Config{Dir: dir, Password: password})
	instructor := client(t, s, login{Instructor, password})
	manifest, layer := pushImage(t, instructor, "docker.io/library/nginx", "latest", "layer")
	for range 2 {
		anyone := client(t, s, login{})
		for _, name := range []string{"docker.io/library/nginx", "library/nginx", "nginx"} {
			r, err := anyone.GetTag(t.Context(), name, "latest")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			data, err := io.ReadAll(r)
			if err != nil || digest.FromBytes(data) != manifest {
				t.Errorf("%s: %v, %s", name, err, data)
			}
			b, err := anyone.GetBlobRange(t.Context(), name, layer, 1, 3)
			if err != nil {
				t.Fatal(err)
			}
			if part, err := io.ReadAll(b); err != nil || string(part) != "ay" {
				t.Errorf("%s: a part of the layer is %q, %v", name, part, err)
			}
		}
		if status, text := get(t, s, "GET", "/v2/library/nginx/manifests/latest?ns=docker.io", nil, nil); status != 200 {
			t.Errorf("as containerd asks a mirror: %d %s", status, text)
		}
		if status, text := get(t, s, "GET", "/v2/nginx/manifests/latest?ns=quay.io", nil, nil); status != 200 && status != 404 {
			t.Errorf("of another registry: %d %s", status, text)
		}
		if status, text := get(t, s, "GET", "/v2/nginx/tags/list", nil, nil); status != 200 || !strings.Contains(text, `["latest"]`) {
			t.Errorf("tags: %d %s", status, text)
		}
		if _, err := anyone.PushBlob(t.Context(), "nginx", ociregistry.Descriptor{Digest: digest.FromString("x"), Size: 1}, strings.NewReader("x")); !errors.Is(err, ociregistry.ErrDenied) {
			t.Errorf("anybody pushes: %v", err)
		}
		if err := anyone.DeleteTag(t.Context(), "docker.io/library/nginx", "latest"); err == nil {
			t.Error("anybody deletes a tag")
		}
		s.Close()
		s = served(t, Config{Dir: dir, Password: password})
	}
}

// A base is served beside what was pushed, which takes precedence; without a directory nothing is pushed.
func TestBase(t *testing.T) {
	base := served(t, Config{Dir: t.TempDir(), Password: password})
	pusher := client(t, base, login{Instructor, password})
	old, _ := pushImage(t, pusher, "docker.io/team/app", "1", "old")
	kept, _ := pushImage(t, pusher, "docker.io/team/kept", "1", "kept")
	s := served(t, Config{Dir: t.TempDir(), Password: password, Base: client(t, base, login{})})
	c := client(t, s, login{Instructor, password})
	for name, want := range map[string]ociregistry.Digest{"team/app": old, "team/kept": kept} {
		if desc, err := c.ResolveTag(t.Context(), name, "1"); err != nil || desc.Digest != want {
			t.Errorf("%s is %v, %v, want %s", name, desc, err, want)
		}
	}
	latest, _ := pushImage(t, c, "docker.io/team/app", "1", "new")
	if desc, err := c.ResolveTag(t.Context(), "team/app", "1"); err != nil || desc.Digest != latest {
		t.Errorf("after the push it is %v, %v, want %s", desc, err, latest)
	}
	if desc, err := client(t, base, login{}).ResolveTag(t.Context(), "team/app", "1"); err != nil || desc.Digest != old {
		t.Errorf("the base has %v, %v, want %s", desc, err, old)
	}
	closed := served(t, Config{Password: password, Base: client(t, base, login{})})
	if _, err := client(t, closed, login{Instructor, password}).PushManifest(t.Context(), "a", "1", []byte("{}"), ocispec.MediaTypeImageIndex); !errors.Is(err, ociregistry.ErrUnsupported) {
		t.Errorf("push without a directory: %v", err)
	}
}

// Passwords cannot be guessed, and tokens not be made by others.
func TestCredentials(t *testing.T) {
	if _, err := New(Config{Password: "short"}); err == nil {
		t.Error("a short password is taken")
	}
	s := served(t, Config{Dir: t.TempDir(), Password: password})
	basic := func(user, password string) (int, string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		return get(t, s, "POST", "/v2/app/blobs/uploads/", map[string]string{"Authorization": r.Header.Get("Authorization")}, nil)
	}
	if status, text := basic(Instructor, password); status != 202 {
		t.Errorf("with the password: %d %s", status, text)
	}
	bearer := func(token string) int {
		status, _ := get(t, s, "POST", "/v2/app/blobs/uploads/", map[string]string{"Authorization": "Bearer " + token}, nil)
		return status
	}
	claims := jwt.RegisteredClaims{Issuer: service, Subject: Instructor, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{none, foreign, "", "x.y.z"} {
		if status := bearer(token); status != 401 {
			t.Errorf("token %q: %d", token, status)
		}
	}
	var answer struct{ Token string }
	if _, text := get(t, s, "GET", tokenPath, nil, nil); json.Unmarshal([]byte(text), &answer) != nil || answer.Token == "" {
		t.Fatalf("no token: %s", text)
	}
	if status := bearer(answer.Token); status != 403 {
		t.Errorf("with a token for pulls: %d", status)
	}
	for i := range 5 {
		if status, text := basic(Instructor, fmt.Sprint("guess", i)); status != 401 {
			t.Errorf("guess %d: %d %s", i, status, text)
		}
	}
	if status, text := basic(Instructor, password); status != 429 {
		t.Errorf("after five wrong passwords: %d %s", status, text)
	}
	nobody := served(t, Config{Dir: t.TempDir(), Allow: func(*http.Request) bool { return false }})
	if status, _ := get(t, nobody, "GET", "/v2/nginx/manifests/latest", nil, nil); status != 403 {
		t.Errorf("a client that may not pull: %d", status)
	}
	if status, _ := get(t, nobody, "GET", tokenPath, map[string]string{"Authorization": "Basic " + "aW5zdHJ1Y3Rvcjo="}, nil); status != 401 {
		t.Errorf("an empty password where none is set: %d", status)
	}
}

// No name leads out of the directory, and nothing grows without a bound.
func TestHostileRequests(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := served(t, Config{Dir: filepath.Join(dir, "registry"), Password: password, MaxBlob: 1000, MaxTotal: 3000})
	admin := map[string]string{"Authorization": "Basic aW5zdHJ1Y3Rvcjpjb3JyZWN0IGhvcnNlIGJhdHRlcnk="}
	for _, path := range []string{
		"/v2/../secret", "/v2/..%2f..%2fsecret", "/v2/a/blobs/../../../secret", "/v2/a/blobs/sha256:..%2f..%2f..%2fsecret", "/v2/a/manifests/..%2f..%2fsecret",
		"/v2/%2e%2e/manifests/secret", "/v2/a/_tags/manifests/x", "/v2/_blobs/tags/list", "/secret", "/v2/a/blobs/uploads/Li4vLi4vc2VjcmV0", // base64 of ../../secret
	} {
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			if status, text := get(t, s, method, path, admin, nil); status < 300 || status >= 500 || strings.Contains(text, "secret\n") {
				t.Errorf("%s %s: %d %s", method, path, status, text)
			}
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "secret")); err != nil || string(text) != "secret" {
		t.Errorf("the file outside is %q, %v", text, err)
	}
	post := func(data string) int {
		status, _ := get(t, s, "POST", "/v2/a/blobs/uploads/?digest="+digest.FromString(data).String(), admin, strings.NewReader(data))
		return status
	}
	if status := post(strings.Repeat("x", 1001)); status != 413 {
		t.Errorf("a layer that is too large: %d", status)
	}
	if status, text := get(t, s, "POST", "/v2/a/blobs/uploads/?digest="+digest.FromString("right").String(), admin, strings.NewReader("wrong")); status != 400 {
		t.Errorf("a layer of another digest: %d %s", status, text)
	}
	for i, want := range []int{201, 201, 201, 413} {
		if status := post(strings.Repeat(fmt.Sprint(i), 1000)); status != want {
			t.Errorf("layer %d: %d, want %d", i, status, want)
		}
	}
	big := bytes.Repeat([]byte(" "), MaxManifest+1)
	if status, text := get(t, s, "PUT", "/v2/a/manifests/big", admin, bytes.NewReader(big)); status < 400 {
		t.Errorf("a manifest that is too large: %d %s", status, text)
	}
	last := 0
	for range maxUploads + 1 {
		last, _ = get(t, s, "POST", "/v2/a/blobs/uploads/", admin, nil)
	}
	if last != 429 {
		t.Errorf("one upload too many: %d", last)
	}
}
