package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
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
	d, at, done, err := onDisk(k.config.HostRoot, provisionedFolder)
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

// serveRemoveProvisioned answers DELETE /provisionedVolumes/NAME. What is not there is
// removed already.
func (k *Kubelet) serveRemoveProvisioned(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if bad := validation.IsDNS1123Subdomain(name); len(bad) > 0 {
		failRequest(w, badRequest("%q is not the name of a volume: %s", name, bad[0]))
		return
	}
	root, err := k.provisionedRoot()
	if err != nil {
		failRequest(w, err)
		return
	}
	defer func() { _ = root.Close() }()
	dir, err := root.Open(".")
	if err == nil {
		defer dir.Close()
		err = removeAt(dir, name)
	}
	if err != nil {
		failRequest(w, fmt.Errorf("removing the data of volume %s: %w", name, err))
		return
	}
	k.log.Info("removed the data of a volume", "volume", name)
	writeJSON(w, map[string]string{"removed": name})
}
