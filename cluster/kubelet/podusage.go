package kubelet

import (
	"path/filepath"
	"time"

	"wheelhouse/cluster/kubelet/nodefs"
)

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
