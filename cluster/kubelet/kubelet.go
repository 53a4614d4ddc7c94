package kubelet

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/images"
	"wheelhouse/cluster/kubelet/node"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/resize"
)

// Config is what a kubelet is made of. The fields of the first part are needed.
// Each field is an option of a node, which is why there are more than 20.
type Config struct {
	Cluster  string // the cluster's name, for labels and control groups
	NodeName string
	NodeIP   netip.Addr
	RootDir  string // the kubelet's own directory
	Client   kubernetes.Interface
	Runtime  Runtime
	Network  Network
	Recorder record.EventRecorder

	// HostRoot is the directory with the node's disk, below which host paths
	// lie; empty for the machine itself.
	HostRoot string
	// StaticPods is the directory of the manifests of static pods; empty: none.
	StaticPods string
	// PodCIDR is written into the Node; empty leaves it to the node controller.
	PodCIDR       string
	ClusterDNS    string // address of the cluster's name server; empty: the node's own
	ClusterDomain string // default cluster.local
	Labels        map[string]string
	Taints        []v1.Taint
	Unschedulable bool
	Capacity      v1.ResourceList // replaces what the machine has
	MaxPods       int             // default 110
	PodPids       int64           // processes in a pod, default 4096

	Reserved v1.ResourceList // of the capacity: not for pods
	Eviction eviction.Config // the zero value never evicts for the node's sake
	GC       images.GC       // default: images at 85 and 80 percent, any number of dead containers
	// Signals replaces the signals that the node observes.
	Signals func(context.Context) map[eviction.Signal]eviction.Observation

	// Listen is the address of the node's HTTPS server, default NodeIP:10250. Its
	// certificate and the authorities of its clients are needed to serve at all.
	Listen    string
	Serving   func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ClientCAs *x509.CertPool
	// AllowedUsers may use the server, by the common name of their certificate, as
	// may the group system:masters.
	AllowedUsers []string

	Log *slog.Logger
}

// Kubelet runs the pods of one node.
type Kubelet struct {
	config       Config
	runtime      Runtime
	puller       *puller
	node         *node.Node
	images       *images.Collector
	informers    *podInformers
	static       *static
	allocations  *resize.Allocations
	eviction     *eviction.Manager
	follower     *runtimeFollower
	terminations *prometheus.CounterVec // of containers
	capacity     v1.ResourceList
	log          *slog.Logger
	ctx          context.Context // of Run; for what outlives a step
	machine
	usage
	references

	mu      sync.Mutex
	workers map[types.UID]*worker
	wg      sync.WaitGroup
}

// references reads the objects that pods refer to.
type references struct {
	objects objects.Getter
	shared  *objects.Cache // for repeated reads
}

// machine is what Run reads of the machine at its start.
type machine struct {
	resolv    containerspec.ResolvConf
	hostNetns bool // the node's network is the machine's
	started   time.Time
}

// usage is what the usage of node and pods is measured with.
type usage struct {
	groups    cgroup.Groups
	podsGroup string // the control group above those of all pods, once there is one; guarded by mu
	measures  nodefs.UsageCache
	rates     rates
}

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
	k := &Kubelet{
		config: config, runtime: config.Runtime, log: config.Log, workers: map[types.UID]*worker{},
		puller: newPuller(config.Runtime), ctx: context.Background(),
	}
	k.groups, k.images = cgroup.At(cgroupRoot), images.NewCollector(config.GC, config.Runtime, collecting{k}, config.RootDir, k.log)
	k.puller.pulled, k.terminations = k.images.Pulled, newTerminations()
	k.eviction = eviction.NewManager(config.Eviction, evicting{k}, evicting{k}, k.log)
	k.objects = objects.API{Client: config.Client}
	k.shared = objects.NewCache(k.objects)
	k.informers = newInformers(config.Client, config.NodeName, k)
	k.static = newStatic(k)
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
	if err := nodefs.PopulateRootFS(k.config.HostRoot, k.config.NodeIP, k.config.NodeName); err != nil { // pods may have put something there that is in the way
		k.log.Warn("prepare the node's disk", "err", err)
	}
	k.images.Load()
	k.resolv = containerspec.ReadResolvConf("/etc/resolv.conf")
	k.hostNetns = sameFile("/proc/self/ns/net", "/proc/1/ns/net")
	ctx, cancel := context.WithCancel(ctx)
	k.ctx, k.started = ctx, time.Now()
	defer k.wg.Wait()
	defer cancel()

	failed := make(chan error, 1)
	if server := (served{k}).server(); server != nil {
		serve, err := server.Open(ctx)
		if err != nil {
			return fmt.Errorf("kubelet: %w", err)
		}
		k.wg.Go(func() { failed <- serve() })
	}
	k.wg.Go(func() { k.follower.run(ctx) })
	k.wg.Go(func() { k.node.Run(ctx) })
	k.static.look()
	k.wg.Go(func() { k.static.run(ctx) })
	k.wg.Go(func() { k.informers.run(ctx) })
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
		return fmt.Errorf("kubelet: serve: %w", err)
	}
}

func (k *Kubelet) podsDir() string { return filepath.Join(k.config.RootDir, "pods") }

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// podChanged is called by the source for each pod of the node, new or changed.
func (k *Kubelet) podChanged(pod *v1.Pod) {
	if podspec.IsMirror(pod) {
		k.static.recordMirror(pod)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod.UID]; w != nil {
		w.update(pod)
		return
	}
	k.startWorker(pod, false)
}

// podRemoved is called by the source when the API server has dropped a pod.
func (k *Kubelet) podRemoved(pod *v1.Pod) {
	if podspec.IsMirror(pod) {
		k.static.gone(pod)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod.UID]; w != nil {
		w.remove()
	}
}

// unfitForPath returns the first of those names of a pod that cannot be part of a path of
// the node: its uid, its volumes', its containers'. Pods do not only come from the API
// server: they also come from the labels of containers.
func unfitForPath(pod *v1.Pod) (string, bool) {
	names := []string{string(pod.UID)}
	for _, v := range pod.Spec.Volumes {
		names = append(names, v.Name)
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			names = append(names, c.Name)
		}
	}
	for _, c := range pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	for _, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > 253 || strings.ContainsAny(name, "/\x00") {
			return name, true
		}
	}
	return "", false
}

// startWorker is called with mu held.
func (k *Kubelet) startWorker(pod *v1.Pod, removed bool) {
	if k.ctx.Err() != nil {
		return
	}
	if name, ok := unfitForPath(pod); ok { // the API server rejects such pods
		k.log.Error("pod not run: one of its names cannot be part of a path", "pod", pod.Namespace+"/"+pod.Name, "name", name)
		return
	}
	w := newWorker(k, pod)
	w.removed = removed
	k.workers[pod.UID] = w
	k.allocations.Add(resizingPod{w}, pod, w.dir, w.log)
	k.wg.Go(func() {
		w.run(k.ctx)
		w.probes.Retain(nil)
		k.allocations.Remove(resizingPod{w}, pod.UID)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.workers[pod.UID] == w {
			delete(k.workers, pod.UID)
		}
	})
}

// deletePod removes a pod's object once nothing of it is left on the node.
func (k *Kubelet) deletePod(ctx context.Context, ref cri.PodRef) error {
	zero, uid := int64(0), types.UID(ref.UID)
	err := k.config.Client.CoreV1().Pods(ref.Namespace).Delete(ctx, ref.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete the pod: %w", err)
	}
	return nil
}

// workerOf finds a pod by name for the node's server.
func (k *Kubelet) workerOf(namespace, name, uid string) *worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.workers {
		if w.ref.Namespace == namespace && w.ref.Name == name && (uid == "" || w.ref.UID == uid) {
			return w
		}
	}
	return nil
}

func (k *Kubelet) newNode() *node.Node {
	c := &k.config
	return node.New(node.Config{
		NodeName: c.NodeName, NodeIP: c.NodeIP, Port: c.port(), PodCIDR: c.PodCIDR, Labels: c.Labels, Taints: c.Taints, Unschedulable: c.Unschedulable,
		Capacity: k.capacity, Allocatable: k.allocatable(), Handlers: handlers,
		Client: c.Client, Recorder: c.Recorder, Runtime: k.runtime, Kubelet: nodeState{k.follower, k.eviction}, Log: k.log,
	})
}

// nodeState implements node.Kubelet.
type nodeState struct {
	*runtimeFollower
	*eviction.Manager
}
