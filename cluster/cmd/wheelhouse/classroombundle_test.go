//go:build !quick

package main_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	registrytypes "github.com/docker/docker/api/types/registry"
	dockerclient "github.com/docker/docker/client"

	"wheelhouse/cluster/kubelet/mirror"
	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/bundle"
)

// TestClassWithABundle serves a class from a bundle: a node's mirror has its images, a learner gets the program lab, the
// instructor pushes with the password, and nobody without it.
func TestClassWithABundle(t *testing.T) {
	docker, err := dockerclient.NewClientWithOpts(dockerclient.FromEnv, dockerclient.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = docker.Close() }()
	file := classTar(t, docker)
	s := startServer(t, "server", t.TempDir(), "--ui-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0")
	pushed := t.TempDir()
	said := serveClass(t, "--kubeconfig", s.kubeconfig, "--listen", "127.0.0.1:0", "--host", "127.0.0.1", "--labs", "workshop", "--bundle", file, "--registry-dir", pushed)
	url := said["learners"]
	host := strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the fingerprint is printed; here it is what asks
	ask := func(method, path string, body any) (int, []byte) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Wheelhouse", "1")
		r.Header.Set("Origin", strings.TrimSuffix(url, "/"))
		res, err := web.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		out, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, out
	}
	if status, _ := ask(http.MethodGet, "bundle/files/lab/lab-linux-amd64", nil); status != http.StatusUnauthorized {
		t.Errorf("a stranger gets a file: %d", status)
	}
	if status, out := ask(http.MethodPost, "api/join", map[string]string{"code": said["room code"], "name": "Ada"}); status != http.StatusCreated {
		t.Fatalf("join: %d %s", status, out)
	}
	if status, out := ask(http.MethodGet, "api/me", nil); status != http.StatusOK || !bytes.Contains(out, []byte(`"programs":[{"system":"linux","arch":"amd64","path":"bundle/files/lab/lab-linux-amd64","bytes":11}]`)) {
		t.Errorf("the page: %d %s", status, out)
	}
	if status, out := ask(http.MethodGet, "bundle/files/lab/lab-linux-amd64", nil); status != http.StatusOK || string(out) != "the program" {
		t.Errorf("the program lab: %d %s", status, out)
	}
	if status, out := ask(http.MethodGet, "api/labs", nil); status != http.StatusOK || !bytes.Contains(out, []byte(`"lab":"workshop/inspector"`)) {
		t.Errorf("the labs of the bundle: %d %s", status, out)
	}
	_, ca := ask(http.MethodGet, "trust/ca.crt", nil)
	from, err := mirror.New("https://"+host, ca, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Has(t.Context(), "busybox:1.35"); err != nil {
		t.Errorf("an image of the bundle: %v", err)
	}
	if err := from.Has(t.Context(), "docker.io/library/none:1"); !errors.Is(err, mirror.ErrNotThere) {
		t.Errorf("an image that it does not have: %v", err)
	}
	push(t, docker, host, pushed, from)
}

// push pushes with a wrong password and with the right one; the mirror then has the image.
func push(t *testing.T, docker *dockerclient.Client, host, dir string, from *mirror.Mirror) {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s/team/app:%d", host, os.Getpid())
	if err := docker.ImageTag(t.Context(), "busybox:1.35", name); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := docker.ImageRemove(context.WithoutCancel(t.Context()), name, image.RemoveOptions{}); err != nil {
			t.Error(err)
		}
	}()
	for _, x := range []struct {
		password string
		pushes   bool
	}{{"a wrong password", false}, {strings.TrimSpace(string(password)), true}} {
		auth, err := registrytypes.EncodeAuthConfig(registrytypes.AuthConfig{Username: "instructor", Password: x.password})
		if err != nil {
			t.Fatal(err)
		}
		out, err := docker.ImagePush(t.Context(), name, image.PushOptions{RegistryAuth: auth})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(out)
		_ = out.Close()
		if err != nil || strings.Contains(string(text), `"error"`) == x.pushes {
			t.Errorf("docker push with %q: %v %s", x.password, err, text)
		}
	}
	if err := from.Has(t.Context(), "team/app:"+fmt.Sprint(os.Getpid())); err != nil {
		t.Errorf("what was pushed: %v", err)
	}
}

// classTar is a bundle with the labs of this tree, one image, and a program.
func classTar(t *testing.T, docker *dockerclient.Client) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"labs/workshop", "features/workshop", "slides/workshop"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("../../..", part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range []string{"lab", "images"} {
		if err := os.Mkdir(filepath.Join(dir, part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "lab/lab-linux-amd64"), []byte("the program"), 0o600); err != nil {
		t.Fatal(err)
	}
	saved, err := docker.ImageSave(t.Context(), []string{"busybox:1.35"})
	if err != nil {
		t.Fatalf("%v: make images builds it", err)
	}
	defer func() { _ = saved.Close() }()
	f, err := os.Create(filepath.Join(dir, "images", runtime.GOARCH+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(f, saved); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "class.tar")
	b, err := (bundle.Create{From: dir}).Write(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// serveClass runs `classroom serve`, and returns what it prints, by the label of each line.
func serveClass(t *testing.T, args ...string) map[string]string {
	t.Helper()
	p := start(t, append([]string{"classroom", "serve"}, args...)...)
	said := map[string]string{}
	wait.Within(t, time.Minute, "the class is served", func() error {
		text := p.log.String()
		for line := range strings.Lines(text) {
			if label, value, ok := strings.Cut(line, ":"); ok {
				said[label] = strings.TrimSpace(value)
			}
		}
		return wait.Seen(said["authority"] != "", text) // the last one
	})
	return said
}
