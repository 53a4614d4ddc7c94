package docker

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
)

// List inspects the containers that the labels select.
func (r *Runtime) List(ctx context.Context, uid string) ([]cri.Container, error) {
	args := r.mine()
	if uid != "" {
		args = filters.NewArgs(filters.Arg("label", labelUID+"="+uid))
		for _, v := range r.mine().Get("label") {
			args.Add("label", v)
		}
	}
	summaries, err := r.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: args})
	if err != nil {
		return nil, explain("list containers", err)
	}
	out := make([]cri.Container, 0, len(summaries))
	for _, s := range summaries {
		c, err := r.Inspect(ctx, s.ID)
		if cri.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].CreatedAt.Before(out[j].CreatedAt) })
	return out, nil
}

// Glance returns the containers by what the daemon lists of them.
func (r *Runtime) Glance(ctx context.Context) ([]cri.Container, error) {
	summaries, err := r.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: r.mine()})
	if err != nil {
		return nil, explain("list containers", err)
	}
	out := make([]cri.Container, 0, len(summaries))
	for _, s := range summaries {
		c := named(s.Labels)
		c.ID, c.CreatedAt, c.State = s.ID, time.Unix(s.Created, 0), cri.Exited
		switch s.State {
		case container.StateRunning, container.StatePaused:
			c.State = cri.Running
		case container.StateCreated:
			c.State = cri.Created
		}
		out = append(out, c)
	}
	return out, nil
}

// named is a container with what its labels contain.
func named(labels map[string]string) cri.Container {
	c := cri.Container{
		Name:   labels[labelContainer],
		Pod:    cri.PodRef{Namespace: labels[labelNamespace], Name: labels[labelPod], UID: labels[labelUID]},
		Labels: labels, Runtime: "docker",
	}
	c.Attempt, _ = strconv.Atoi(labels[labelAttempt])
	return c
}

// Inspect returns one container.
func (r *Runtime) Inspect(ctx context.Context, id string) (cri.Container, error) {
	c, err := r.docker.ContainerInspect(ctx, id)
	if err != nil {
		return cri.Container{}, explain("inspect container", err)
	}
	if c.Config == nil || c.State == nil || c.ContainerJSONBase == nil {
		return cri.Container{}, fmt.Errorf("inspect container %s: the daemon's answer is incomplete", id)
	}
	out := convert(c)
	// A child that was killed for memory is not the end of the container itself.
	out.OOMKilled = out.OOMKilled && out.ExitCode != 0 || out.State == cri.Exited && out.ExitCode == killed && r.ranOutOfMemory(c.ID)
	return out, nil
}

// killed is the exit code of a process that SIGKILL has terminated.
const killed = 137

func convert(c container.InspectResponse) cri.Container {
	out := named(c.Config.Labels)
	out.ID, out.Image, out.ImageID = c.ID, c.Config.Image, c.Image
	out.TTY, out.OpenStdin = c.Config.Tty, c.Config.OpenStdin
	out.CreatedAt, out.StartedAt, out.Finished = parseTime(c.Created), parseTime(c.State.StartedAt), parseTime(c.State.FinishedAt)
	out.ExitCode, out.OOMKilled, out.Error = c.State.ExitCode, c.State.OOMKilled, c.State.Error
	out.LogPath = c.LogPath
	if h := c.HostConfig; h != nil {
		out.Resources = cri.Resources{CPUShares: h.CPUShares, CPUQuota: h.CPUQuota, CPUPeriod: h.CPUPeriod, Memory: h.Memory}
	}
	if c.GraphDriver.Data != nil {
		out.Layer = c.GraphDriver.Data["UpperDir"]
	}
	switch {
	case c.State.Running:
		out.State, out.Pid = cri.Running, c.State.Pid
		if out.Layer == "" {
			out.Layer = writableLayer(c.State.Pid)
		}
	case c.State.Status == "created" && c.State.Error == "":
		out.State = cri.Created
	default:
		out.State = cri.Exited
		if out.Finished.IsZero() { // it never ran
			out.Finished = out.CreatedAt
		}
	}
	return out
}

// parseTime reads the daemon's times; its zero is the year 1.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// Create makes a container and the control group above it, but starts nothing.
func (r *Runtime) Create(ctx context.Context, spec *cri.Spec) (string, error) {
	info, err := r.daemonInfo(ctx)
	if err != nil {
		return "", err
	}
	if err := info.lacks(spec); err != nil {
		return "", err
	}
	stage := turnCreate
	if spec.Sandbox == "" {
		stage = turnSandbox
	}
	done, err := r.turns.take(ctx, stage)
	if err != nil {
		return "", err
	}
	defer done()
	config, host := r.translate(spec, info)
	if spec.Sandbox == "" && cgroup.IsSlice(host.CgroupParent) {
		if err := systemd.Start(ctx, host.CgroupParent); err != nil {
			return "", err
		}
	}
	name := containerName(spec)
	for try := 0; ; try++ {
		res, err := r.docker.ContainerCreate(ctx, config, host, nil, nil, name)
		switch {
		case err == nil:
			if spec.Resources.Memory > 0 {
				r.limitedTo(res.ID, host.CgroupParent)
			}
			return res.ID, nil
		case try > 0:
			return "", explain("create container "+spec.Name, err)
		case errdefs.IsConflict(err):
			// What has the name is left over from a kubelet that crashed between create
			// and start: the pod's uid is part of the name, and its worker is the caller.
			err = r.Remove(ctx, name)
		case errdefs.IsNotFound(err) && spec.Image == "":
			err = r.EnsurePause(ctx)
		default:
			return "", explain("create container "+spec.Name, err)
		}
		if err != nil {
			return "", err
		}
	}
}

func containerName(s *cri.Spec) string {
	return strings.Join([]string{"k8s", s.Name, s.Pod.Name, s.Pod.Namespace, s.Pod.UID, strconv.Itoa(s.Attempt)}, "_")
}

// Start runs a created container.
func (r *Runtime) Start(ctx context.Context, id string) error {
	done, err := r.turns.take(ctx, turnStart)
	if err != nil {
		return err
	}
	defer done()
	r.beforeStart(id)
	if err := r.docker.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return explain("start container", err)
	}
	return nil
}

// Stop stops a container, after the grace period by SIGKILL.
func (r *Runtime) Stop(ctx context.Context, id string, grace time.Duration) error {
	// The daemon counts whole seconds; less than one would be "at once".
	seconds := int((grace + time.Second - 1) / time.Second)
	err := r.docker.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsNotModified(err) {
		return explain("stop container", err)
	}
	return nil
}

// Update changes a running container's control group.
func (r *Runtime) Update(ctx context.Context, id string, to cri.Resources) error {
	change := resources(to)
	change.PidsLimit = nil
	if _, err := r.docker.ContainerUpdate(ctx, id, container.UpdateConfig{Resources: change}); err != nil {
		return explain("update container", err)
	}
	return nil
}

// Remove removes a container, killing it if it runs. With a sandbox the pod's
// control group goes as well.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	c, err := r.docker.ContainerInspect(ctx, id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return explain("inspect container", err)
	}
	err = r.docker.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		// A removal is under way: its event follows when the container is gone.
		if now, inspectErr := r.docker.ContainerInspect(ctx, id); errdefs.IsConflict(err) && inspectErr == nil && now.State.Status == container.StateRemoving {
			return nil
		}
		return explain("remove container", err)
	}
	r.dropRecords(c.ID)
	if c.Config != nil && c.HostConfig != nil && c.Config.Labels[labelContainer] == cri.SandboxName {
		return removeCgroup(ctx, c.HostConfig.CgroupParent)
	}
	return nil
}
