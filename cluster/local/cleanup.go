package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// NodeConfig names a node that is this machine itself.
type NodeConfig struct {
	Cluster, Name string
	Dir           string        // the kubelet's, with the pods' directories
	Timeout       time.Duration // for the end of the containers; default DefaultTimeout
}

// RemoveNode removes what the kubelet of a node on this machine has made, apart from its
// network: containers, mounts, pods' directories, control groups. The node must not run: it
// would make them again. What cannot be removed does not keep the rest; the error names it,
// and RemoveNode can be called again.
func RemoveNode(ctx context.Context, n NodeConfig) error {
	cfg, err := Config{Name: n.Cluster, Timeout: n.Timeout}.complete()
	if err != nil {
		return err
	}
	if n.Dir == "" || len(validation.IsDNS1123Subdomain(n.Name)) > 0 { // the name is part of paths
		return fmt.Errorf("remove node %q: its name and directory are needed", n.Name)
	}
	return errors.Join(
		removeContainers(ctx, cfg, n.Name),
		RemoveTree(filepath.Join(n.Dir, "pods")),
		removeCgroups(ctx, filepath.Join("/wheelhouse", cfg.Name, n.Name)),
	)
}

// RemoveTree removes a directory, for example of pods, with the mounts below it, never through one that could
// not be removed.
func RemoveTree(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	if points, err := mountsBelow(dir); err != nil || len(points) > 0 {
		return errors.Join(err, fmt.Errorf("%s is kept, since something is mounted below: %v", dir, points))
	}
	return os.RemoveAll(dir)
}
