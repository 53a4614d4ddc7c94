//go:build !quick

package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	registrytypes "github.com/docker/docker/api/types/registry"
	dockerclient "github.com/docker/docker/client"
)

// TestDockerPush is `docker push` by the instructor, and `docker pull` by somebody without a password (row P2).
func TestDockerPush(t *testing.T) {
	r, err := New(Config{Dir: t.TempDir(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r) // Docker speaks plain HTTP with what is on the loopback
	defer s.Close()
	docker, err := dockerclient.NewClientWithOpts(dockerclient.FromEnv, dockerclient.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = docker.Close() }()
	name := fmt.Sprintf("%s/team/app:%d", strings.TrimPrefix(s.URL, "http://"), os.Getpid())
	tag := func(name string) {
		t.Helper()
		if err := docker.ImageTag(t.Context(), "busybox:latest", name); err != nil {
			t.Fatalf("%v: make images builds it", err)
		}
	}
	remove := func(name string) error {
		_, err := docker.ImageRemove(t.Context(), name, image.RemoveOptions{})
		return err
	}
	auth := func(password string) string {
		text, err := registrytypes.EncodeAuthConfig(registrytypes.AuthConfig{Username: Instructor, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// The engine tries a layer that is refused five times, with pauses: all refusals wait at once, each for a
	// repository of its own, as pushes of one to another wait for each other.
	t.Run("refused", func(t *testing.T) {
		for user, wrong := range map[string]string{"wrong": auth("not the password"), "none": auth("")} {
			other := strings.Replace(name, "/app:", "/"+user+":", 1)
			tag(other)
			t.Run(user, func(t *testing.T) {
				t.Parallel()
				out, err := docker.ImagePush(t.Context(), other, image.PushOptions{RegistryAuth: wrong})
				if err := outcome(t, out, err); err == "" {
					t.Error("pushed without the password")
				}
				if err := remove(other); err != nil {
					t.Error(err)
				}
			})
		}
	})
	tag(name)
	out, err := docker.ImagePush(t.Context(), name, image.PushOptions{RegistryAuth: auth(password)})
	if err := outcome(t, out, err); err != "" {
		t.Fatalf("docker push: %s", err)
	}
	if err := remove(name); err != nil {
		t.Fatal(err)
	}
	out, err = docker.ImagePull(t.Context(), name, image.PullOptions{})
	if err := outcome(t, out, err); err != "" {
		t.Fatalf("docker pull: %s", err)
	}
	if err := remove(name); err != nil {
		t.Errorf("what was pulled: %v", err)
	}
}

// outcome reads a progress stream of the engine to its end and returns the error in it.
func outcome(t *testing.T, stream io.ReadCloser, err error) string {
	t.Helper()
	if err != nil {
		return err.Error()
	}
	defer stream.Close()
	for d := json.NewDecoder(stream); ; {
		var m struct{ Error string }
		if err := d.Decode(&m); err != nil {
			return ""
		}
		if m.Error != "" {
			return m.Error
		}
	}
}
