package images

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podstatus"
)

// shelf is a store of images whose registry does what a test sets.
type shelf struct {
	local map[string]bool
	reach func(ctx context.Context) error
	pull  error
	pulls int
}

func (s *shelf) Image(_ context.Context, ref string) (cri.Image, error) {
	if !s.local[ref] {
		return cri.Image{}, fmt.Errorf("%s: %w", ref, cri.ErrNotFound)
	}
	return cri.Image{ID: ref}, nil
}
func (s *shelf) Reach(ctx context.Context, _, _ string) error { return s.reach(ctx) }
func (s *shelf) Pull(_ context.Context, ref, _ string) error {
	s.pulls++
	if s.pull == nil {
		s.local[ref] = true
	}
	return s.pull
}

var errNoHost = errors.New("Get https://registry/v2/: dial tcp: lookup registry: no such host") //nolint:staticcheck // the text of net/http

func TestPullPolicies(t *testing.T) {
	answers := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errNoHost }
	denied := errors.New("pull access denied for x, repository does not exist")
	for _, c := range []struct {
		name   string
		policy v1.PullPolicy
		local  bool
		reach  func(context.Context) error
		pull   error
		pulls  int
		reason string // of the error
		event  string // the last one
	}{
		{"present", v1.PullIfNotPresent, true, fails, errNoHost, 0, "", `Container image "x:1" already present on machine`},
		{"absent", v1.PullIfNotPresent, false, answers, nil, 1, "", "Successfully pulled"},
		{"absent, refused", v1.PullIfNotPresent, false, answers, denied, 1, "ErrImagePull", "Error: ErrImagePull"},
		{"never", v1.PullNever, false, answers, nil, 0, "ErrImageNeverPull", "Error: ErrImageNeverPull"},
		{"always", v1.PullAlways, true, answers, nil, 1, "", "Successfully pulled"},
		{"always, refused", v1.PullAlways, true, answers, denied, 1, "ErrImagePull", "Error: ErrImagePull"},
		{"always, offline, present", v1.PullAlways, true, fails, errNoHost, 0, "", "is present on the machine; registry not reachable"},
		{"always, offline, absent", v1.PullAlways, false, fails, errNoHost, 1, "ErrImagePull", "Error: ErrImagePull"},
		{"always, goes offline", v1.PullAlways, true, answers, errNoHost, 1, "", "is present on the machine; registry not reachable"},
	} {
		s := &shelf{local: map[string]bool{"x:1": c.local}, reach: c.reach, pull: c.pull}
		last := ""
		_, err := NewPuller(s, nil).ensure(context.Background(), &v1.Container{Image: "x:1", ImagePullPolicy: c.policy}, "", func(_, _, message string) { last = message })
		var waiting *podstatus.WaitingError
		reason := ""
		if errors.As(err, &waiting) {
			reason = waiting.Reason
		}
		if reason != c.reason || s.pulls != c.pulls || !strings.Contains(last, c.event) {
			t.Errorf("%s: %v (%s), %d pulls, event %q", c.name, err, reason, s.pulls, last)
		}
	}
}

// A node with a list of registries asks no other, in whatever spelling: the engine asks from the machine's own network.
func TestRegistries(t *testing.T) {
	for image, allowed := range map[string]bool{
		"x:1": true, "a/b": true, "docker.io/a/b": true, "index.docker.io/a/b": true, "quay.io/a/b": true,
		"127.0.0.1:5000/x": false, "localhost/x": false, "EVIL/x": false, "quay.io:80/a/b": false, "docker.io.example/x": false, "[::1]:5000/x": false,
	} {
		for _, policy := range []v1.PullPolicy{v1.PullAlways, v1.PullIfNotPresent} {
			s := &shelf{local: map[string]bool{}, reach: func(context.Context) error { return nil }}
			_, err := NewPuller(s, []string{"docker.io", "quay.io"}).ensure(t.Context(), &v1.Container{Image: image, ImagePullPolicy: policy}, "", func(_, _, _ string) {})
			var waiting *podstatus.WaitingError
			if refused := errors.As(err, &waiting) && waiting.Reason == "RegistryUnavailable"; refused == allowed || (s.pulls > 0) != allowed {
				t.Errorf("%s, %s: %v, %d pulls", image, policy, err, s.pulls)
			}
		}
	}
	present := &shelf{local: map[string]bool{"127.0.0.1:5000/x": true}, reach: func(context.Context) error { t.Error("the registry is asked"); return nil }}
	if _, err := NewPuller(present, []string{"docker.io"}).ensure(t.Context(), &v1.Container{Image: "127.0.0.1:5000/x", ImagePullPolicy: v1.PullAlways}, "", func(_, _, _ string) {}); err != nil || present.pulls > 0 {
		t.Errorf("an image that is present: %v, %d pulls", err, present.pulls)
	}
}

// A registry that does not answer at all holds up only the first pod, and that
// shortly.
func TestSilentRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{local: map[string]bool{"x:1": true}, pull: errNoHost, reach: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		p := NewPuller(s, nil)
		for i, limit := range []time.Duration{registryPatience, 0, 0} {
			begun := time.Now()
			_, err := p.ensure(context.Background(), &v1.Container{Image: "x:1", ImagePullPolicy: v1.PullAlways}, "", func(_, _, _ string) {})
			if took := time.Since(begun); err != nil || took > limit {
				t.Errorf("start %d: %v after %s, want at most %s", i+1, err, took, limit)
			}
		}
		if s.pulls != 0 {
			t.Errorf("%d pulls", s.pulls)
		}
		time.Sleep(registryTimeout) // until the request has timed out
		synctest.Wait()
	})
}

// The host of an image is the one that the engine asks: credentials of another are not sent there.
func TestRegistryOf(t *testing.T) {
	for image, want := range map[string]string{
		"nginx": "docker.io", "library/nginx": "docker.io", "library/nginx:1.0": "docker.io", "localhost/a": "localhost",
		"registry.example/a": "registry.example", "a:5000/b": "a:5000", "Evil/foo": "Evil", "LOCALHOST/foo": "LOCALHOST",
	} {
		named, err := reference.ParseNormalizedNamed(image)
		if err != nil || reference.Domain(named) != want {
			t.Errorf("the engine takes %s from %v (%v), not from %s", image, named, err, want)
		}
		if got := registryOf(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}
