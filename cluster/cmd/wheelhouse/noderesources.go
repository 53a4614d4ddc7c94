package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/docker"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/images"
)

// nodeResources are the flags about what a node has, keeps for itself and clears away.
// Those that the upstream kubelet has are named as there, and have its defaults.
type nodeResources struct {
	capacity, kubeReserved, systemReserved map[string]string
	maxPods                                int
	maxContainers                          int
	podMaxPids, maxPids                    int64
	trust                                  nodeTrust

	hard, soft           string
	softGrace, reclaim   map[string]string
	maxPodGrace          int
	transition           time.Duration
	imagesHigh, imageLow int
	deadContainers       int
	logSize              string
	logFiles             int
	mirror               imageMirror
}

func (r *nodeResources) register(f *pflag.FlagSet) {
	f.StringToStringVar(&r.capacity, "capacity", nil, "the node's capacity, if less than the machine's (memory=1Gi,cpu=2,ephemeral-storage=10Gi)")
	f.StringToStringVar(&r.kubeReserved, "kube-reserved", nil, "resources reserved for the cluster's own processes (memory=100Mi,cpu=100m)")
	f.StringToStringVar(&r.systemReserved, "system-reserved", nil, "resources reserved for the rest of the machine")
	f.IntVar(&r.maxPods, "max-pods", 110, "maximum number of pods on the node")
	f.Int64Var(&r.podMaxPids, "pod-max-pids", 4096, "maximum number of processes in a pod")
	f.IntVar(&r.maxContainers, "max-containers", 500, "maximum number of containers in a pod")
	f.Int64Var(&r.maxPids, "max-pids", 0, "maximum number of processes in all pods together; 0 is no limit")
	r.trust.register(f)
	f.StringVar(&r.hard, "eviction-hard", eviction.DefaultHard, "thresholds at which pods are evicted at once")
	f.StringVar(&r.soft, "eviction-soft", "", "thresholds at which pods are evicted after a grace period")
	f.StringToStringVar(&r.softGrace, "eviction-soft-grace-period", nil, "the grace period of each soft threshold (memory.available=1m30s)")
	f.StringToStringVar(&r.reclaim, "eviction-minimum-reclaim", nil, "how much an eviction reclaims beyond the threshold (imagefs.available=2Gi)")
	f.IntVar(&r.maxPodGrace, "eviction-max-pod-grace-period", 0, "maximum grace period in seconds of a pod evicted at a soft threshold")
	f.DurationVar(&r.transition, "eviction-pressure-transition-period", 5*time.Minute, "how long a pressure condition lasts after the threshold is no longer met")
	f.IntVar(&r.imagesHigh, "image-gc-high-threshold", 85, "disk usage in percent at which images are removed that this node has pulled and no pod uses; 100 disables it")
	f.IntVar(&r.imageLow, "image-gc-low-threshold", 80, "disk usage in percent down to which images are removed")
	f.StringVar(&r.logSize, "container-log-max-size", "10Mi", "size of a container's log at which it is rotated")
	f.IntVar(&r.logFiles, "container-log-max-files", 5, "maximum number of files of a container's log")
	r.mirror.register(f)
	f.IntVar(&r.deadContainers, "maximum-dead-containers", -1, "maximum number of terminated containers that are kept; -1 is no limit")
}

func (r *nodeResources) apply(c *kubelet.Config) error {
	var err error
	if c.Capacity, err = quantities("--capacity", r.capacity); err != nil {
		return err
	}
	if c.Reserved, err = quantities("--kube-reserved", r.kubeReserved); err != nil {
		return err
	}
	system, err := quantities("--system-reserved", r.systemReserved)
	if err != nil {
		return err
	}
	for name, q := range system {
		sum := c.Reserved[name]
		sum.Add(q)
		c.Reserved[name] = sum
	}
	if c.Eviction, err = eviction.Parse(r.hard, r.soft, r.softGrace, r.reclaim); err != nil {
		return err
	}
	c.Eviction.MaxPodGrace = time.Duration(r.maxPodGrace) * time.Second
	c.Eviction.Transition = r.transition
	if r.imageLow < 0 || r.imagesHigh > 100 || r.imageLow >= r.imagesHigh {
		return fmt.Errorf("images are removed from %d%% of the disk down to %d%%: want 0 <= --image-gc-low-threshold < --image-gc-high-threshold <= 100", r.imagesHigh, r.imageLow)
	}
	c.GC = images.GC{ImagesHigh: r.imagesHigh, ImagesLow: r.imageLow, DeadContainers: r.deadContainers}
	c.MaxPods, c.MaxContainers, c.PodPids, c.Pids = r.maxPods, r.maxContainers, r.podMaxPids, r.maxPids
	return r.trust.apply(c)
}

// logs are the bounds of a container's log.
func (r *nodeResources) logs(c *docker.Config) error {
	q, err := resource.ParseQuantity(r.logSize)
	if err != nil || q.Value() < 1 {
		return fmt.Errorf("--container-log-max-size %s: want a quantity such as 10Mi", r.logSize)
	}
	if r.logFiles < 2 {
		return fmt.Errorf("--container-log-max-files %d: want at least 2", r.logFiles)
	}
	c.LogMaxBytes, c.LogMaxFiles = q.Value(), r.logFiles
	return nil
}

func quantities(flag string, in map[string]string) (v1.ResourceList, error) {
	out := v1.ResourceList{}
	for name, text := range in {
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() < 0 {
			return nil, fmt.Errorf("%s %s=%s: want a quantity such as 500m or 1Gi", flag, name, text)
		}
		out[v1.ResourceName(name)] = q
	}
	return out, nil
}
