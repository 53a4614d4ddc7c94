package images

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/podstatus"
)

// The waits between pulls of an image that cannot be had, as upstream.
const (
	pullBackoffFirst = 10 * time.Second
	pullBackoffMax   = 5 * time.Minute
)

// Events records events of a pod and of its containers.
type Events interface {
	PodEvent(kind, reason, message string)
	ContainerEvent(c *v1.Container, kind, reason, message string)
}

// Pod pulls the images of one pod, with a backoff for each container or volume. Its
// methods must not be called concurrently.
type Pod struct {
	puller  *Puller
	secrets objects.Getter
	events  Events
	pulls   map[string]*pullBackoff
}

// pullBackoff is the backoff of one container or volume.
type pullBackoff struct {
	wait  time.Duration
	until time.Time
	err   error
}

// NewPod has pulled nothing yet.
func NewPod(puller *Puller, secrets objects.Getter, events Events) *Pod {
	return &Pod{puller: puller, secrets: secrets, events: events, pulls: map[string]*pullBackoff{}}
}

// Image returns the container's image, pulled by its pull policy.
func (i *Pod) Image(ctx context.Context, pod *v1.Pod, c *v1.Container) (cri.Image, error) {
	return i.Fetch(ctx, pod, c.Name, c, func(kind, reason, message string) { i.events.ContainerEvent(c, kind, reason, message) })
}

// Fetch returns the image of c, pulled by its pull policy. A failed pull backs off.
func (i *Pod) Fetch(ctx context.Context, pod *v1.Pod, user string, c *v1.Container, event func(kind, reason, message string)) (cri.Image, error) {
	p := i.pulls[user]
	if p != nil && time.Now().Before(p.until) {
		event(v1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.Image))
		event(v1.EventTypeWarning, "Failed", "Error: ImagePullBackOff")
		return cri.Image{}, podstatus.NewWaitingError("ImagePullBackOff", fmt.Errorf("Back-off pulling image %q: ErrImagePull: %w", c.Image, p.err)) //nolint:staticcheck // upstream's text
	}
	auth, err := i.registryAuth(ctx, pod, c.Image)
	if err != nil {
		return cri.Image{}, err
	}
	image, err := i.puller.ensure(ctx, c, auth, event)
	if err == nil {
		delete(i.pulls, user)
		return image, nil
	}
	var waiting *podstatus.WaitingError
	if errors.As(err, &waiting) && (waiting.Reason == "ErrImageNeverPull" || waiting.Reason == "InvalidImageName" || waiting.Reason == "RegistryUnavailable") {
		return cri.Image{}, err // no pull was tried
	}
	if p == nil {
		p = &pullBackoff{}
		i.pulls[user] = p
	}
	p.wait = min(max(2*p.wait, pullBackoffFirst), pullBackoffMax)
	p.until, p.err = time.Now().Add(p.wait), err
	return cri.Image{}, err
}

// registryAuth is the login of the pod's pull secrets for the image, as the runtime takes
// it. Of several the one with the longest match wins.
func (i *Pod) registryAuth(ctx context.Context, pod *v1.Pod, image string) (string, error) {
	var best *login
	most := -1
	for _, ref := range pod.Spec.ImagePullSecrets {
		s, err := i.secrets.Secret(ctx, pod.Namespace, ref.Name)
		if err != nil { // as upstream: the image may be had without it
			i.events.PodEvent(v1.EventTypeWarning, "FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets ("+ref.Name+"); attempting to pull the image may not succeed.")
			continue
		}
		for server, l := range logins(s) {
			if n := loginMatch(server, image); n > most {
				l.Server = server
				best, most = &l, n
			}
		}
	}
	if best == nil {
		return "", nil
	}
	if best.Username == "" && best.Auth != "" {
		if text, err := base64.StdEncoding.DecodeString(best.Auth); err == nil {
			best.Username, best.Password, _ = strings.Cut(strings.TrimSpace(string(text)), ":")
		}
	}
	best.Auth = ""
	out, err := json.Marshal(best)
	return base64.URLEncoding.EncodeToString(out), err
}

// PullRetry is when a container whose start has failed is retried.
func (i *Pod) PullRetry() time.Duration {
	next := 10 * time.Second
	for _, p := range i.pulls {
		next = min(next, max(time.Until(p.until), time.Millisecond))
	}
	return next
}
