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

// provisioned sets up a volume on a node that has no others. What its annotation says anybody may have written: the path is
// the one that the provisioner gives a volume of that name, and a directory.
func (m *Manager) provisioned(name string, pv *v1.PersistentVolume) (Volume, error) {
	spec := pv.Spec.HostPath
	if !isProvisioned(pv) || spec.Path != "/"+provisionedDir+"/"+pv.Name || isBlock(pv) || len(mountOptions(pv)) > 0 {
		return Volume{}, checkError{"PodSecurity", fmt.Errorf("persistentvolume %q is not of this cluster's provisioner, and the node mounts no others", pv.Name)}
	}
	if err := createProvisioned(m.HostRoot, pv.Name); err != nil {
		return Volume{}, err
	}
	return m.hostPath(name, &v1.HostPathVolumeSource{Path: spec.Path, Type: new(v1.HostPathDirectory)})
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
