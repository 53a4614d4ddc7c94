package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podstatus"
)

// Timeouts of registries. A pod whose image is on the machine never waits for a registry that
// does not answer.
const (
	registryPatience = 500 * time.Millisecond // how long a start waits for the first answer
	registryTimeout  = 20 * time.Second       // of the request, which outlasts that
	registryMemory   = 5 * time.Minute        // how long an answer is valid
	pullTimeout      = 30 * time.Minute
)

// Source pulls images.
type Source interface {
	Image(ctx context.Context, ref string) (cri.Image, error)
	// Reach checks that the registry of ref answers, and fetches nothing.
	Reach(ctx context.Context, ref, auth string) error
	// Pull fetches ref. auth is empty, or base64url JSON as registries take it.
	Pull(ctx context.Context, ref, auth string) error
}

// registries caches which registries answer.
type registries struct {
	runtime Source
	mu      sync.Mutex
	known   map[string]*registry
}

type registry struct {
	reachable bool
	at        time.Time
	asking    chan struct{} // closed with the answer; nil while there is no request
}

// reachable reports whether the image's registry answers. It waits a short moment for the
// first answer; later ones are refreshed in the background.
func (r *registries) reachable(ctx context.Context, ref, auth string) bool {
	host := registryOf(ref)
	r.mu.Lock()
	e := r.known[host]
	if e == nil {
		e = &registry{}
		r.known[host] = e
	}
	fresh, first := time.Since(e.at) < registryMemory, e.at.IsZero()
	if !fresh && e.asking == nil {
		e.asking = make(chan struct{})
		go r.ask(e, e.asking, ref, auth) //nolint:contextcheck // the next pod needs the answer too
	}
	asking, answer := e.asking, e.reachable
	r.mu.Unlock()
	if !first {
		return answer
	}
	select {
	case <-asking:
	case <-time.After(registryPatience):
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.at.IsZero() { // others need not wait again for the same silence
		e.at = time.Now()
	}
	return e.reachable
}

func (r *registries) ask(e *registry, done chan struct{}, ref, auth string) {
	ctx, cancel := context.WithTimeout(context.Background(), registryTimeout)
	defer cancel()
	err := r.runtime.Reach(ctx, ref, auth)
	r.mu.Lock()
	defer r.mu.Unlock()
	e.reachable, e.at, e.asking = err == nil || !isUnreachable(err), time.Now(), nil
	close(done)
}

// silent records that a registry did not answer a pull.
func (r *registries) silent(ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.known[registryOf(ref)]; e != nil {
		e.reachable, e.at = false, time.Now()
	}
}

// registryOf is the host in an image's name, or the daemon's default. A first part with an upper-case letter is a host, as
// the engine reads it: no path of a repository has one.
func registryOf(ref string) string {
	host, _, ok := strings.Cut(ref, "/")
	if ok && (strings.ContainsAny(host, ".:") || host == "localhost" || strings.ToLower(host) != host) {
		return host
	}
	return "docker.io"
}

// isUnreachable reports whether the registry did not answer, other than one that rejected the
// request. The engine returns both as text.
func isUnreachable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	text := err.Error()
	for _, sign := range []string{
		"dial tcp", "no such host", "i/o timeout", "connection refused", "connection reset", "unreachable", "TLS handshake timeout",
		"Client.Timeout", "request canceled", "deadline exceeded", "server misbehaving", "proxyconnect",
	} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// Puller gets images onto the machine.
type Puller struct {
	runtime    Source
	registries *registries
	allowed    []string         // hosts; none is any
	Pulled     func(ref string) // is called after each pull
}

// NewPuller pulls from the registries of rt, or of these only those with the given hosts. The engine connects to a
// registry from the machine's own network, so that a name that somebody chooses leads to what the machine reaches.
func NewPuller(rt Source, only []string) *Puller {
	return &Puller{rt, &registries{runtime: rt, known: map[string]*registry{}}, only, func(string) {}}
}

// ensure returns the container's image, pulled if its pull policy requires that, and records
// events of it. Its error is a *waitingError.
func (p *Puller) ensure(ctx context.Context, c *v1.Container, auth string, event func(kind, reason, message string)) (cri.Image, error) {
	named, err := reference.ParseNormalizedNamed(c.Image)
	if err != nil {
		err = fmt.Errorf("Failed to apply default image tag %q: couldn't parse image name %q: %w", c.Image, c.Image, err) //nolint:revive,staticcheck // upstream's words
		event(v1.EventTypeWarning, "InspectFailed", err.Error())
		event(v1.EventTypeWarning, "Failed", "Error: InvalidImageName")
		return cri.Image{}, podstatus.NewWaitingError("InvalidImageName", err)
	}
	local, err := p.runtime.Image(ctx, c.Image)
	present := err == nil
	if err != nil && !cri.IsNotFound(err) {
		return cri.Image{}, podstatus.NewWaitingError("ImageInspectError", fmt.Errorf("inspect image %q: %w", c.Image, err))
	}
	switch {
	case present && c.ImagePullPolicy != v1.PullAlways:
		event(v1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine", c.Image))
		return local, nil
	case c.ImagePullPolicy == v1.PullNever:
		err := fmt.Errorf("Container image %q is not present with pull policy of Never", c.Image) //nolint:revive,staticcheck // upstream's words
		event(v1.EventTypeWarning, "ErrImageNeverPull", err.Error())
		event(v1.EventTypeWarning, "Failed", "Error: ErrImageNeverPull")
		return cri.Image{}, podstatus.NewWaitingError("ErrImageNeverPull", err)
	case len(p.allowed) > 0 && !slices.Contains(p.allowed, reference.Domain(named)):
		if present {
			event(v1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q is present on the machine; this node does not pull from its registry", c.Image))
			return local, nil
		}
		err := fmt.Errorf("image %q is not pulled: this node pulls from %s only", c.Image, strings.Join(p.allowed, ", "))
		event(v1.EventTypeWarning, "Failed", "Error: "+err.Error())
		return cri.Image{}, podstatus.NewWaitingError("RegistryUnavailable", err)
	case present && !p.registries.reachable(ctx, c.Image, auth):
		event(v1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q is present on the machine; registry not reachable", c.Image))
		return local, nil
	}
	event(v1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", c.Image))
	begun := time.Now()
	pullCtx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	if err := p.runtime.Pull(pullCtx, c.Image, auth); err != nil {
		if present && ctx.Err() == nil && isUnreachable(err) {
			p.registries.silent(c.Image)
			event(v1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q is present on the machine; registry not reachable", c.Image))
			return local, nil
		}
		event(v1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %v", c.Image, err))
		event(v1.EventTypeWarning, "Failed", "Error: ErrImagePull")
		return cri.Image{}, podstatus.NewWaitingError("ErrImagePull", err)
	}
	p.Pulled(c.Image)
	image, err := p.runtime.Image(ctx, c.Image)
	if err != nil {
		return cri.Image{}, podstatus.NewWaitingError("ErrImagePull", err)
	}
	event(v1.EventTypeNormal, "Pulled", fmt.Sprintf("Successfully pulled image %q in %s. Image size: %d bytes.",
		c.Image, time.Since(begun).Truncate(time.Millisecond), image.Size))
	return image, nil
}
