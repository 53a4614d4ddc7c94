package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

const (
	// engineLabel labels the containers that this package starts, with the name of the run.
	engineLabel = "wheelhouse.bench"
	// engineGroup is the control group above it.
	engineGroup = "wheelhouse-bench"
)

// Engine starts containers as a bare client of the Docker Engine: the scale for the starts
// of a kubelet.
type Engine struct {
	docker *client.Client
	run    string
	// The containers of one pod that a kubelet has created, which every start copies.
	sandbox, main container.InspectResponse
}

// NewEngine returns an Engine that copies the containers of a running pod, which has one
// container. The volumes of the pod must stay mounted.
func NewEngine(ctx context.Context, run, podUID string) (*Engine, error) {
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, err
	}
	e := &Engine{docker: docker, run: run}
	all, err := docker.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "io.kubernetes.pod.uid="+podUID))})
	if err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	for _, c := range all {
		seen, err := docker.ContainerInspect(ctx, c.ID)
		if err != nil {
			return nil, errors.Join(err, docker.Close())
		}
		if seen.Config.Labels["io.kubernetes.container.name"] == "POD" {
			e.sandbox = seen
		} else {
			e.main = seen
		}
	}
	if e.sandbox.ContainerJSONBase == nil || e.main.ContainerJSONBase == nil {
		return nil, errors.Join(fmt.Errorf("pod %s has %d containers, want a sandbox and one container", podUID, len(all)), docker.Close())
	}
	return e, nil
}

// StartPod starts a sandbox and a container in it.
func (e *Engine) StartPod(ctx context.Context, name string) error {
	group := "/" + engineGroup + "/" + name
	sandbox, err := e.start(ctx, e.sandbox, name+"-pod", group, "")
	if err != nil {
		return err
	}
	_, err = e.start(ctx, e.main, name+"-main", group, sandbox)
	return err
}

func (e *Engine) start(ctx context.Context, model container.InspectResponse, name, group, sandbox string) (string, error) {
	config, host := *model.Config, *model.HostConfig
	config.Labels = map[string]string{engineLabel: e.run}
	host.CgroupParent = group
	if sandbox != "" {
		host.NetworkMode, host.IpcMode = container.NetworkMode("container:"+sandbox), container.IpcMode("container:"+sandbox)
		config.Hostname = ""
	}
	made, err := e.docker.ContainerCreate(ctx, &config, &host, nil, nil, e.run+"-"+name)
	if err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	if err := e.docker.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	return made.ID, nil
}

// Clear removes all containers of the run.
func (e *Engine) Clear(ctx context.Context) error {
	all, err := e.docker.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", engineLabel+"="+e.run))})
	if err != nil {
		return err
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	places := make(chan struct{}, engineParallel)
	for i, c := range all {
		wg.Go(func() {
			places <- struct{}{}
			errs[i] = e.docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
			<-places
		})
	}
	wg.Wait()
	return errors.Join(append(errs, clearGroups(ctx))...)
}

// Close closes the connections.
func (e *Engine) Close() error { return e.docker.Close() }

// engineParallel is how many containers are created or removed at once: more are not faster.
const engineParallel = 8

// clearGroups removes the cgroups above the containers, which Docker leaves. The kernel
// counts a process for a moment after its exit.
func clearGroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for ; ; pause(ctx, 10*time.Millisecond) {
		roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + engineGroup) // the pattern is well formed
		var errs []error
		for _, root := range append(roots, "/sys/fs/cgroup/"+engineGroup) {
			below, _ := os.ReadDir(root)
			for _, group := range below {
				if group.IsDir() {
					errs = append(errs, removed(filepath.Join(root, group.Name())))
				}
			}
			errs = append(errs, removed(root))
		}
		if err := errors.Join(errs...); err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func removed(path string) error {
	if err := os.Remove(path); !os.IsNotExist(err) {
		return err
	}
	return nil
}
