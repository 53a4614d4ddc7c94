package docker

import (
	"context"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/docker/jsonlog"
)

// waitRetry is after which time the end of a container is waited for again, when the engine
// has not answered.
const waitRetry = time.Second

// Logs copies a container's output from the engine's files. With Follow it returns when the
// container has terminated or ctx is done.
func (r *Runtime) Logs(ctx context.Context, id string, o cri.LogOptions, stdout, stderr io.Writer) error {
	c, err := r.docker.ContainerInspect(ctx, id)
	if err != nil {
		return explain("inspect container", err)
	}
	if c.ContainerJSONBase == nil || c.LogPath == "" { // it has not been started
		return nil
	}
	options := jsonlog.Options{LogOptions: o, Stdout: stdout, Stderr: stderr}
	if o.Follow {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ended := make(chan struct{})
		options.Ended = ended
		created := c.State != nil && c.State.Status == container.StateCreated
		go func() {
			defer close(ended)
			r.waitEnded(ctx, id, created)
		}()
	}
	return jsonlog.Read(ctx, c.LogPath, options)
}

// waitEnded waits until a container has terminated, all of whose output the engine has written
// then, or was removed. created says that it had not been started: until it is, the engine takes it for not running.
func (r *Runtime) waitEnded(ctx context.Context, id string, created bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of a request that is answered no more
	condition := container.WaitConditionNotRunning
	if created {
		condition = container.WaitConditionNextExit
	}
	for {
		done, failed := r.docker.ContainerWait(ctx, id, condition)
		if created && r.hasEnded(ctx, id) { // before the engine waited for its next exit
			return
		}
		select {
		case <-done:
			return
		case err := <-failed:
			if ctx.Err() != nil || cri.IsNotFound(explain("wait", err)) {
				return
			}
			r.config.Log.Warn("wait for the end of a container", "container", id, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(waitRetry):
		}
	}
}

// hasEnded reports whether a container was started and has terminated, or is gone.
func (r *Runtime) hasEnded(ctx context.Context, id string) bool {
	c, err := r.docker.ContainerInspect(ctx, id)
	if err != nil {
		return cri.IsNotFound(explain("inspect container", err))
	}
	return c.ContainerJSONBase != nil && c.State != nil && (c.State.Status == container.StateExited || c.State.Status == container.StateDead)
}
