package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// The cluster's own provisioner (cluster/controller/persistentvolume) makes volumes
// that are folders of one node's disk. The node does its part here: it makes the
// folder when the first pod comes, and removes it when the claim is gone.

const (
	provisioner       = "wheelhouse.dev/host-path"
	provisionedFolder = "srv/volumes"
)

// provisioned says whether a volume is such a folder.
func provisioned(pv *v1.PersistentVolume) bool {
	return pv.Annotations["pv.kubernetes.io/provisioned-by"] == provisioner && pv.Spec.HostPath != nil
}

// provisionedRoot opens the folder of all such volumes; nothing leads out of it, and it is
// on the node's disk, whatever links pods have made there.
func (k *Kubelet) provisionedRoot() (*os.Root, error) {
	d, at, done, err := nodefs.Open(k.config.HostRoot, provisionedFolder)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := d.MkdirAll(at, 0o711); err != nil {
		return nil, err
	}
	return d.OpenRoot(at)
}

// makeProvisioned makes the folder of a volume, if it is not there: writable for the
// user of any container, who is not known before.
func (k *Kubelet) makeProvisioned(pv *v1.PersistentVolume) error {
	root, err := k.provisionedRoot()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.Mkdir(pv.Name, 0o777); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return root.Chmod(pv.Name, 0o777) // whatever the umask
}

// RemoveProvisioned implements server.Disk.
func (s served) RemoveProvisioned(volume string) error {
	root, err := s.k.provisionedRoot()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	dir, err := root.Open(".")
	if err == nil {
		defer dir.Close()
		err = nodefs.RemoveAt(dir, volume)
	}
	if err != nil {
		return fmt.Errorf("removing the data of volume %s: %w", volume, err)
	}
	return nil
}
