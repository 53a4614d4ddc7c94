package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// The cluster's own provisioner (cluster/controller/persistentvolume) creates volumes
// that are directories of one node's disk. The node creates the directory for the first
// pod, and removes it when the claim is deleted.

const (
	provisioner    = "wheelhouse.dev/host-path"
	provisionedDir = "srv/volumes"
)

// isProvisioned reports whether a volume is such a directory.
func isProvisioned(pv *v1.PersistentVolume) bool {
	return pv.Annotations["pv.kubernetes.io/provisioned-by"] == provisioner && pv.Spec.HostPath != nil
}

// provisionedRoot opens the directory of all such volumes; nothing leads out of it, and it
// is on the node's disk, whatever links pods have created there.
func provisionedRoot(hostRoot string) (*os.Root, error) {
	d, at, done, err := nodefs.Open(hostRoot, provisionedDir)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := d.MkdirAll(at, 0o711); err != nil {
		return nil, err
	}
	return d.OpenRoot(at)
}

// createProvisioned creates the directory of a volume, if it does not exist: writable for
// the user of any container.
func createProvisioned(hostRoot, name string) error {
	root, err := provisionedRoot(hostRoot)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.Mkdir(name, 0o777); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return root.Chmod(name, 0o777) // whatever the umask
}

// RemoveProvisioned removes the data of a volume of the cluster's own provisioner. A volume
// that does not exist is no error.
func RemoveProvisioned(hostRoot, name string) error {
	root, err := provisionedRoot(hostRoot)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	dir, err := root.Open(".")
	if err == nil {
		defer dir.Close()
		err = nodefs.RemoveAt(dir, name)
	}
	if err != nil {
		return fmt.Errorf("removing the data of volume %s: %w", name, err)
	}
	return nil
}
