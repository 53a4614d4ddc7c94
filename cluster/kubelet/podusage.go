package kubelet

import (
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// volumeUsage is what each of the pod's volumes takes that are on the node's disk.
func (w *worker) volumeUsage(pod *v1.Pod, now time.Time) map[string]nodefs.Usage {
	out := map[string]nodefs.Usage{}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.EmptyDir != nil && v.EmptyDir.Medium == v1.StorageMediumDefault:
			out[v.Name] = w.k.measures.Of(w.volumes.path("empty-dir", v.Name), now)
		case v.GitRepo != nil:
			out[v.Name] = w.k.measures.Of(w.volumes.path("git-repo", v.Name), now)
		}
	}
	return out
}

// containerUsage is what each container has written into its layer and its log.
func (w *worker) containerUsage(now time.Time) map[string]nodefs.Usage {
	out := map[string]nodefs.Usage{}
	list, _ := w.shown.get()
	for _, c := range list {
		sum := w.k.measures.Of(c.Layer, now)
		sum.Add(w.k.measures.OfLog(c.LogPath, now))
		out[c.Name] = sum
	}
	return out
}

// fileUsage is what the files take that the kubelet gives to the pod's containers, and that
// they can write to (CVE-2020-8557).
func (w *worker) fileUsage(now time.Time) nodefs.Usage {
	sum := w.k.measures.Of(filepath.Join(w.dir, "etc"), now)
	sum.Add(w.k.measures.Of(filepath.Join(w.dir, "containers"), now))
	return sum
}
