package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	docker "github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"
)

// Labels that the kubelet puts on all it makes in Docker.
const (
	labelCluster = "wheelhouse.cluster"
	labelNode    = "wheelhouse.node"
)

func dockerClient(ctx context.Context) (*docker.Client, string, error) {
	c, err := docker.NewClientWithOpts(docker.FromEnv, docker.WithAPIVersionNegotiation())
	if err != nil {
		return nil, "", err
	}
	v, err := c.ServerVersion(ctx)
	if err != nil {
		_ = c.Close()
		//nolint:staticcheck // Docker is a name
		return nil, "", fmt.Errorf("Docker does not answer; start it (systemctl start docker, or dockerd &): %w", err)
	}
	return c, v.Version, nil
}

func dockerVersion(ctx context.Context) (string, error) {
	c, version, err := dockerClient(ctx)
	if err != nil {
		return "", err
	}
	return version, c.Close()
}

// removeContainers removes a cluster's containers, or only those of one node,
// whatever state they are in.
func removeContainers(ctx context.Context, cfg Config, node string) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	c, _, err := dockerClient(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	match := filters.NewArgs(filters.Arg("label", labelCluster+"="+cfg.Name))
	if node != "" {
		match.Add("label", labelNode+"="+node)
	}
	// Repeated until none is left: one may be created meanwhile.
	for {
		list, err := c.ContainerList(ctx, container.ListOptions{All: true, Filters: match})
		if err != nil || len(list) == 0 {
			return err
		}
		var all errgroup.Group
		all.SetLimit(8)
		for _, item := range list {
			all.Go(func() error {
				err := c.ContainerRemove(ctx, item.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
				// A conflict is with a removal under way, which the next list shows.
				if err == nil || errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
					return nil
				}
				return fmt.Errorf("container %.12s: %w", item.ID, err)
			})
		}
		if err := all.Wait(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), fmt.Errorf("%d containers of cluster %s still exist", len(list), cfg.Name))
		case <-time.After(pollEvery):
		}
	}
}
