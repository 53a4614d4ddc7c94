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
		condition := container.WaitConditionNotRunning
		if c.State != nil && c.State.Status == container.StateCreated {
			condition = container.WaitConditionNextExit
		}
		go func() {
			defer close(ended)
			r.waitEnded(ctx, id, condition)
		}()
	}
	return jsonlog.Read(ctx, c.LogPath, options)
}

// waitEnded waits until a container has terminated, all of whose output the engine has written
// then, or was removed.
func (r *Runtime) waitEnded(ctx context.Context, id string, condition container.WaitCondition) {
	for {
		done, failed := r.docker.ContainerWait(ctx, id, condition)
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
