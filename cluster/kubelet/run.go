package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/hostinfo"
	"wheelhouse/cluster/kubelet/images"
	"wheelhouse/cluster/kubelet/node"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/resize"
	"wheelhouse/cluster/kubelet/source"
	"wheelhouse/cluster/resolvconf"
)

// New checks the configuration and starts nothing.
func New(config Config) (*Kubelet, error) {
	switch {
	case config.NodeName == "" || config.Cluster == "" || config.RootDir == "":
		return nil, errors.New("kubelet: cluster, node name and root directory are needed")
	case !config.NodeIP.IsValid():
		return nil, errors.New("kubelet: the node's address is needed")
	case config.Client == nil || config.Runtime == nil || config.Network == nil || config.Recorder == nil:
		return nil, errors.New("kubelet: client, runtime, network and recorder are needed")
	}
	if !filepath.IsAbs(config.RootDir) {
		return nil, fmt.Errorf("kubelet: the root directory %q is not an absolute path", config.RootDir)
	}
	if below, err := filepath.Rel(config.HostRoot, config.RootDir); config.HostRoot != "" && err == nil && filepath.IsLocal(below) {
		return nil, fmt.Errorf("kubelet: its directory %s lies on the disk that pods may use, %s, with the secrets of all pods: choose another directory, or / as the disk", config.RootDir, config.HostRoot)
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	config.ClusterDomain = cmp.Or(config.ClusterDomain, "cluster.local")
	config.Listen = cmp.Or(config.Listen, net.JoinHostPort(config.NodeIP.String(), "10250"))
	if config.MaxPods == 0 {
		config.MaxPods = 110
	}
	if config.GC == (images.GC{}) {
		config.GC = images.GC{ImagesHigh: 85, ImagesLow: 80, DeadContainers: -1}
	}
	if config.PodPids == 0 {
		config.PodPids = 4096
	}
	if config.Journal == nil {
		config.Journal = journal.New()
	}
	k := &Kubelet{
		config: config, runtime: measured{config.Runtime}, log: config.Log, workers: map[types.UID]*worker{},
		puller: images.NewPuller(config.Runtime, config.Registries), ctx: context.Background(),
	}
	k.groups, k.images = cgroup.At(cgroupRoot), images.NewCollector(config.GC, config.Runtime, collecting{k}, config.RootDir, k.log)
	k.puller.Pulled, k.terminations = k.images.Pulled, newTerminations()
	k.eviction = eviction.NewManager(config.Eviction, evicting{k}, evicting{k}, k.log)
	k.objects = objects.API{Client: config.Client}
	k.shared = objects.NewCache(k.objects)
	k.informers = source.NewAPIServer(config.Client, config.NodeName, handler{k}, k.log)
	k.static = source.NewStatic(source.Config{Dir: config.StaticPods, NodeName: config.NodeName, Client: config.Client, API: k.informers, Pods: staticPods{k}, Log: k.log})
	k.follower = &runtimeFollower{k: k}
	k.allocations = resize.NewAllocations(resizing{k})
	return k, nil
}

// Run blocks until ctx is done. The containers are left running.
func (k *Kubelet) Run(ctx context.Context) error {
	if err := os.MkdirAll(k.podsDir(), 0o750); err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	var err error
	if k.capacity, err = machineCapacity(k.config); err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	k.node = k.newNode()
	if text := swapWarning(hostinfo.SwapOn(), func() bool { return nodefs.NoSwap(k.config.RootDir) }); text != "" {
		k.node.Event(v1.EventTypeWarning, "PossibleMemoryBackedVolumesOnDisk", text)
	}
	if err := nodefs.PopulateRootFS(k.config.HostRoot, k.config.NodeIP, k.config.NodeName); err != nil { // pods may have put something there that is in the way
		k.log.Warn("prepare the node's disk", "err", err)
	}
	k.images.Load()
	k.resolv = containerspec.ReadResolvConf(resolvconf.Real(resolvconf.Default))
	k.hostNetns = sameFile("/proc/self/ns/net", "/proc/1/ns/net")
	ctx, cancel := context.WithCancel(ctx)
	k.ctx, k.started = ctx, time.Now()
	defer k.wg.Wait()
	defer cancel()

	failed := make(chan error, 2)
	if server := (served{k}).server(); server != nil {
		serve, err := server.Open(ctx)
		if err != nil {
			return fmt.Errorf("kubelet: %w", err)
		}
		k.wg.Go(func() {
			if err := serve(); err != nil {
				failed <- fmt.Errorf("kubelet: serve: %w", err)
			}
		})
	}
	k.wg.Go(func() { k.follower.run(ctx) })
	k.wg.Go(func() {
		if err := k.node.Run(ctx); err != nil {
			failed <- fmt.Errorf("kubelet: %w", err)
		}
	})
	k.static.Look()
	k.wg.Go(func() { k.static.Run(ctx) })
	k.wg.Go(func() { k.informers.Run(ctx) })
	k.wg.Go(func() { k.follower.relistLoop(ctx) })
	k.wg.Go(func() { k.eviction.Run(ctx) })
	k.wg.Go(func() { k.images.Run(ctx) })
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// swapWarning is the text about volumes in memory that the kernel may write to a disk, "" if it
// does not.
func swapWarning(swap bool, noSwap func() bool) string {
	if !swap || noSwap() {
		return ""
	}
	return "The tmpfs noswap option is not supported. Memory-backed volumes (e.g. secrets, emptyDirs, etc.) " +
		"might be swapped to disk and should no longer be considered secure."
}

func (k *Kubelet) newNode() *node.Node {
	c := &k.config
	return node.New(node.Config{
		NodeName: c.NodeName, NodeIP: c.NodeIP, Port: c.port(), PodCIDR: c.PodCIDR, Labels: c.Labels, Annotations: c.Annotations, Taints: c.Taints, Unschedulable: c.Unschedulable,
		Capacity: k.capacity, Allocatable: k.allocatable(), Handlers: handlers,
		Client: c.Client, Recorder: c.Recorder, Runtime: k.runtime, Kubelet: nodeState{k.follower, k.eviction}, Log: k.log,
	})
}

// nodeState implements node.Kubelet.
type nodeState struct {
	*runtimeFollower
	*eviction.Manager
}
