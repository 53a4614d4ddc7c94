// Package runtimetest holds a kubelet.Runtime without containers for tests of
// what uses one, and the contract that it and the real ones fulfil alike.
package runtimetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/cri"
)

// Fake is a runtime whose containers exist only in memory. A container terminates when
// it is stopped or when a test calls Exit. Commands that begin with "echo" print
// their arguments; "false" fails.
type Fake struct {
	mu         sync.Mutex
	next       int
	containers []*fakeContainer
	images     map[string]cri.Image
	watchers   map[chan cri.Event]bool
	// PullError is what a pull of an image that is not there gives.
	PullError error
}

type fakeContainer struct {
	cri.Container
	spec  *cri.Spec
	ended chan struct{}
}

var _ kubelet.Runtime = (*Fake)(nil)

// New is a runtime that has the named images.
func New(images ...string) *Fake {
	f := &Fake{images: map[string]cri.Image{}, watchers: map[chan cri.Event]bool{}}
	for _, name := range images {
		f.images[name] = cri.Image{ID: "sha256:" + name, Names: []string{name}, Size: 1}
	}
	return f
}

// Version implements kubelet.Runtime.
func (f *Fake) Version(context.Context) (string, error) { return "fake://1", nil }

// Watch implements kubelet.Runtime.
func (f *Fake) Watch(ctx context.Context, deliver func(cri.Event)) error {
	events := make(chan cri.Event, 100)
	f.mu.Lock()
	f.watchers[events] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, events)
	}()
	deliver(cri.Event{})
	for {
		select {
		case e := <-events:
			deliver(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send is called with mu held.
func (f *Fake) send(c *fakeContainer, started bool) {
	for w := range f.watchers {
		select {
		case w <- cri.Event{PodUID: c.Pod.UID, ContainerID: c.ID, Started: started}:
		default:
		}
	}
}

// List implements kubelet.Runtime.
func (f *Fake) List(_ context.Context, uid string) ([]cri.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []cri.Container
	for _, c := range f.containers {
		if uid == "" || c.Pod.UID == uid {
			out = append(out, c.Container)
		}
	}
	return out, nil
}

// find is called with mu held.
func (f *Fake) find(id string) (*fakeContainer, error) {
	for _, c := range f.containers {
		if c.ID == id {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %s: %w", id, cri.ErrNotFound)
}

// Inspect implements kubelet.Runtime.
func (f *Fake) Inspect(_ context.Context, id string) (cri.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(id)
	if err != nil {
		return cri.Container{}, err
	}
	return c.Container, nil
}

// Create implements kubelet.Runtime.
func (f *Fake) Create(_ context.Context, s *cri.Spec) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.Image != "" && f.images[s.Image].ID == "" {
		return "", fmt.Errorf("image %s: %w", s.Image, cri.ErrNotFound)
	}
	f.containers = slices.DeleteFunc(f.containers, func(c *fakeContainer) bool {
		return c.Pod == s.Pod && c.Name == s.Name && c.Attempt == s.Attempt
	})
	f.next++
	c := &fakeContainer{spec: s, ended: make(chan struct{}), Container: cri.Container{
		Runtime: "fake", ID: fmt.Sprintf("%064d", f.next), Name: s.Name, Pod: s.Pod, Attempt: s.Attempt, Labels: s.Labels,
		State: cri.Created, CreatedAt: time.Now(), Image: s.Image, ImageID: f.images[s.Image].ID,
		TTY: s.TTY, OpenStdin: s.Stdin, Resources: withoutPids(s.Resources),
	}}
	f.containers = append(f.containers, c)
	return c.ID, nil
}

// Start implements kubelet.Runtime.
func (f *Fake) Start(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(id)
	if err != nil {
		return err
	}
	c.State, c.StartedAt, c.Pid = cri.Running, time.Now(), 1
	f.send(c, true)
	return nil
}

// Stop implements kubelet.Runtime.
func (f *Fake) Stop(_ context.Context, id string, _ time.Duration) error {
	f.Exit(id, 143)
	return nil
}

// Exit terminates a running container.
func (f *Fake) Exit(id string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(id)
	if err != nil || c.State != cri.Running {
		return
	}
	c.State, c.ExitCode, c.Finished, c.Pid = cri.Exited, code, time.Now(), 0
	close(c.ended)
	f.send(c, false)
}

// Update implements kubelet.Runtime.
func (f *Fake) Update(_ context.Context, id string, r cri.Resources) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.find(id)
	if err != nil {
		return err
	}
	c.Resources = withoutPids(r)
	return nil
}

func withoutPids(r cri.Resources) cri.Resources {
	r.Pids = 0
	return r
}

// Remove implements kubelet.Runtime.
func (f *Fake) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, err := f.find(id); err == nil {
		f.containers = slices.DeleteFunc(f.containers, func(o *fakeContainer) bool { return o == c })
		f.send(c, false)
	}
	return nil
}

// Glance implements kubelet.Runtime.
func (f *Fake) Glance(ctx context.Context) ([]cri.Container, error) { return f.List(ctx, "") }

// RemoveImage implements kubelet.Runtime.
func (f *Fake) RemoveImage(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.containers {
		if c.Image == ref {
			return fmt.Errorf("image %s: %w", ref, cri.ErrInUse)
		}
	}
	delete(f.images, ref)
	return nil
}

// ImageDir implements kubelet.Runtime.
func (f *Fake) ImageDir(context.Context) (string, error) { return os.TempDir(), nil }

// Image implements kubelet.Runtime.
func (f *Fake) Image(_ context.Context, ref string) (cri.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.images[ref]
	if !ok {
		return i, fmt.Errorf("image %s: %w", ref, cri.ErrNotFound)
	}
	return i, nil
}

// Images implements kubelet.Runtime.
func (f *Fake) Images(context.Context) ([]cri.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []cri.Image
	for _, i := range f.images {
		out = append(out, i)
	}
	return out, nil
}

// MountImage implements kubelet.Runtime: its images have no files.
func (f *Fake) MountImage(_ context.Context, _, dir string) error { return os.MkdirAll(dir, 0o755) }

// Reach implements kubelet.Runtime: no registry answers.
func (f *Fake) Reach(_ context.Context, ref, _ string) error {
	return fmt.Errorf("ask for %s: dial tcp: no such host", ref)
}

// Pull implements kubelet.Runtime.
func (f *Fake) Pull(_ context.Context, ref, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.PullError != nil {
		return f.PullError
	}
	f.images[ref] = cri.Image{ID: "sha256:" + ref, Names: []string{ref}}
	return nil
}

// Logs implements kubelet.Runtime: a container prints its command.
func (f *Fake) Logs(ctx context.Context, id string, o cri.LogOptions, stdout, _ io.Writer) error {
	f.mu.Lock()
	c, err := f.find(id)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if stdout != nil && o.Tail != 0 {
		if err := echo(append(c.spec.Entrypoint, c.spec.Cmd...), stdout); err != nil {
			return err
		}
	}
	if o.Follow {
		select {
		case <-c.ended:
		case <-ctx.Done():
		}
	}
	return nil
}

// Exec implements kubelet.Runtime.
func (f *Fake) Exec(ctx context.Context, id string, cmd []string, s cri.IO) (int, error) {
	c, err := f.Inspect(ctx, id)
	if err != nil {
		return 0, err
	}
	if c.State != cri.Running {
		return 0, fmt.Errorf("container %s is not running", id)
	}
	switch {
	case cmd[0] == "false":
		return 1, nil
	case cmd[0] == "cat" && s.Stdin != nil:
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 0, err
	case s.Stdout == nil:
		return 0, nil
	}
	return 0, echo(cmd, s.Stdout)
}

// echo prints the arguments of a command that begins with echo.
func echo(cmd []string, out io.Writer) error {
	if len(cmd) == 0 || cmd[0] != "echo" {
		return nil
	}
	for i, a := range cmd[1:] {
		if i > 0 {
			a = " " + a
		}
		if _, err := io.WriteString(out, a); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, "\n")
	return err
}

// Attach implements kubelet.Runtime.
func (f *Fake) Attach(ctx context.Context, id string, s cri.IO) error {
	return f.Logs(ctx, id, cri.LogOptions{Follow: true, Tail: 0}, s.Stdout, nil)
}
