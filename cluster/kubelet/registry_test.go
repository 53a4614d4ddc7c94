//go:build !quick

package kubelet_test

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
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/dockertest"
)

// registry is one that has the BusyBox image, for clients with its password. Docker speaks
// plain HTTP with what is on the loopback.
type registry struct {
	*httptest.Server
	host     string
	blobs    map[string][]byte // by digest
	manifest []byte
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = docker.Close() }()
	saved, err := docker.ImageSave(context.Background(), []string{dockertest.BusyBox})
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	files := map[string][]byte{}
	for tr := tar.NewReader(saved); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
	var list []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &list); err != nil || len(list) != 1 {
		t.Fatalf("%v: %s", err, files["manifest.json"])
	}
	r := &registry{blobs: map[string][]byte{}}
	part := func(name, kind string) map[string]any {
		d := digestOf(files[name])
		r.blobs[d] = files[name]
		return map[string]any{"mediaType": kind, "size": len(files[name]), "digest": d}
	}
	layers := []any{}
	for _, l := range list[0].Layers {
		layers = append(layers, part(l, "application/vnd.docker.image.rootfs.diff.tar.gzip"))
	}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": part(list[0].Config, "application/vnd.docker.container.image.v1+json"), "layers": layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Server = httptest.NewServer(r)
	r.host = strings.TrimPrefix(r.URL, "http://")
	t.Cleanup(r.Close)
	t.Cleanup(func() {
		c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, _ = c.ImageRemove(context.Background(), r.host+"/team/app:1", image.RemoveOptions{Force: true})
	})
	return r
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

// ServeHTTP is what of the registry's protocol a pull needs.
func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if user, password, _ := q.BasicAuth(); user != "jane" || password != "s3cret" {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	body, kind := []byte("{}"), "application/json"
	switch {
	case strings.HasPrefix(q.URL.Path, "/v2/team/app/manifests/"):
		tag := strings.TrimPrefix(q.URL.Path, "/v2/team/app/manifests/")
		if tag != "1" && tag != digestOf(r.manifest) {
			http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, http.StatusNotFound)
			return
		}
		body, kind = r.manifest, manifestType
		w.Header().Set("Docker-Content-Digest", digestOf(body))
	case strings.HasPrefix(q.URL.Path, "/v2/team/app/blobs/"):
		body, kind = r.blobs[strings.TrimPrefix(q.URL.Path, "/v2/team/app/blobs/")], "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = io.Copy(w, bytes.NewReader(body))
}

// An image of a registry that requires a password comes with the pod's pull secret, in
// either form, and with nothing else.
func TestPullSecrets(t *testing.T) {
	r := newRegistry(t)
	login := func(server, password string) string {
		return fmt.Sprintf(`{%q: {"username": "jane", "password": %q}}`, server, password)
	}
	secret := func(name, key, text string) *v1.Secret {
		return &v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string][]byte{key: []byte(text)}}
	}
	n := newNode(
		t, secret("right", v1.DockerConfigJsonKey, `{"auths": `+login("http://"+r.host+"/v2/", "s3cret")+`}`),
		secret("old", v1.DockerConfigKey, login(r.host+"/team", "s3cret")),
		secret("wrong", v1.DockerConfigJsonKey, `{"auths": `+login(r.host, "guess")+`}`),
		secret("elsewhere", v1.DockerConfigJsonKey, `{"auths": `+login("example.com", "s3cret")+`}`))
	want := func(name, image string, secrets ...string) *v1.Pod {
		p := pod(name, "echo pulled; exec sleep 1000")
		p.Spec.Containers[0].Image, p.Spec.Containers[0].ImagePullPolicy = r.host+"/team/"+image, v1.PullAlways
		for _, s := range secrets {
			p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, v1.LocalObjectReference{Name: s})
		}
		return n.create(p)
	}
	// The first answer may have been replaced by the backoff before the test reads it.
	waits := func(name, message string) {
		t.Helper()
		n.wait(name, "ImagePullBackOff: "+message, func(p *v1.Pod) bool {
			s := p.Status.ContainerStatuses
			return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "ImagePullBackOff" &&
				strings.HasPrefix(s[0].State.Waiting.Message, "Back-off pulling image ") && strings.Contains(s[0].State.Waiting.Message, message)
		})
	}
	want("none", "app:1")
	waits("none", "ErrImagePull: pull "+r.host+"/team/app:1: ")
	waits("none", "no basic auth credentials")
	want("wrong", "app:1", "elsewhere", "wrong", "missing")
	waits("wrong", "unauthorized")
	n.saysAll("Warning FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (missing); attempting to pull the image may not succeed.",
		fmt.Sprintf("Normal Pulling Pulling image %q", r.host+"/team/app:1"), fmt.Sprintf("Warning Failed Failed to pull image %q: ", r.host+"/team/app:1"),
		"Warning Failed Error: ErrImagePull", fmt.Sprintf("Normal BackOff Back-off pulling image %q", r.host+"/team/app:1"), "Warning Failed Error: ImagePullBackOff")
	want("unknown", "app:2", "right")
	waits("unknown", "manifest unknown")
	want("right", "app:1", "wrong", "elsewhere", "old")
	n.wait("right", "Ready", isReady)
	want("today", "app:1", "right")
	n.wait("today", "Ready", isReady)
	n.saysAll(fmt.Sprintf("Normal Pulled Successfully pulled image %q in ", r.host+"/team/app:1"))
	n.delete2("none", "wrong", "unknown", "right", "today")
}
