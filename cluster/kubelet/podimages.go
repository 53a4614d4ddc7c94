package kubelet

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
)

// podImages pulls the images of one pod, with a backoff for each container or volume. It
// belongs to the goroutine of the worker.
type podImages struct {
	puller  *puller
	secrets objects.Getter
	events  *podEvents
	pulls   map[string]*pullBackoff
}

// pullBackoff is the backoff of one container or volume.
type pullBackoff struct {
	wait  time.Duration
	until time.Time
	err   error
}

// image returns the container's image, pulled by its pull policy.
func (i *podImages) image(ctx context.Context, pod *v1.Pod, c *v1.Container) (cri.Image, error) {
	return i.fetch(ctx, pod, c.Name, c, func(kind, reason, message string) { i.events.containerEvent(c, kind, reason, message) })
}

// fetch returns the image of c, pulled by its pull policy. A failed pull backs off.
func (i *podImages) fetch(ctx context.Context, pod *v1.Pod, user string, c *v1.Container, event func(kind, reason, message string)) (cri.Image, error) {
	p := i.pulls[user]
	if p != nil && time.Now().Before(p.until) {
		event(v1.EventTypeNormal, "BackOff", fmt.Sprintf("Back-off pulling image %q", c.Image))
		event(v1.EventTypeWarning, "Failed", "Error: ImagePullBackOff")
		return cri.Image{}, &waitingError{"ImagePullBackOff", fmt.Errorf("Back-off pulling image %q: ErrImagePull: %w", c.Image, p.err)} //nolint:staticcheck // upstream's text
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
	var waiting *waitingError
	if errors.As(err, &waiting) && (waiting.reason == "ErrImageNeverPull" || waiting.reason == "InvalidImageName") {
		return cri.Image{}, err // no pull was tried
	}
	if p == nil {
		p = &pullBackoff{}
		i.pulls[user] = p
	}
	p.wait = min(max(2*p.wait, backoffFirst), backoffMax)
	p.until, p.err = time.Now().Add(p.wait), err
	return cri.Image{}, err
}

// registryAuth is the login of the pod's pull secrets for the image, as the runtime takes
// it. Of several the one with the longest match wins.
func (i *podImages) registryAuth(ctx context.Context, pod *v1.Pod, image string) (string, error) {
	var best *login
	most := -1
	for _, ref := range pod.Spec.ImagePullSecrets {
		s, err := i.secrets.Secret(ctx, pod.Namespace, ref.Name)
		if err != nil { // as upstream: the image may be had without it
			i.events.podEvent(v1.EventTypeWarning, "FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets ("+ref.Name+"); attempting to pull the image may not succeed.")
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

// pullRetry is when a container whose start has failed is retried.
func (i *podImages) pullRetry() time.Duration {
	var next time.Duration
	for _, p := range i.pulls {
		next = soonest(next, max(time.Until(p.until), time.Millisecond))
	}
	return soonest(next, 10*time.Second)
}
