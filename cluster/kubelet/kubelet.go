package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/images"
	"wheelhouse/cluster/kubelet/node"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/resize"
	"wheelhouse/cluster/kubelet/source"
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

	// EndpointSlices show which endpoints of a pod that terminates are withdrawn; nil: its containers get SIGTERM
	// after a fixed time.
	EndpointSlices discoverylisters.EndpointSliceLister

	// HostRoot is the directory with the node's disk, below which host paths
	// lie; empty for the machine itself.
	HostRoot string
	// Policies isolate the pods of this node, in the same process; nil where another enforces policies, or none.
	Policies Policies
	// StaticPods is the directory of the manifests of static pods; empty: none.
	StaticPods string
	// PodCIDR is written into the Node; empty leaves it to the node controller.
	PodCIDR       string
	ClusterDNS    string // address of the cluster's name server; empty: the node's own
	ClusterDomain string // default cluster.local
	Labels        map[string]string
	Annotations   map[string]string // of the Node; with an empty value: none
	Taints        []v1.Taint
	Unschedulable bool
	Capacity      v1.ResourceList // replaces what the machine has
	MaxPods       int             // default 110
	MaxContainers int             // of a pod, ephemeral ones apart; default 500
	PodPids       int64           // processes in a pod, default 4096
	Pids          int64           // processes in all pods together; 0 is no limit

	// PodSecurity is nil where whoever administers the API may use the machine. With it, persistent volumes are those
	// of the cluster's own provisioner alone.
	PodSecurity PodSecurity
	// Registries are the hosts that images are pulled from; none is any.
	Registries []string

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
	Flags        map[string]string      // of the process, for /flagz
	Metrics      []prometheus.Collector // of the node's other parts, for /metrics

	// Journal keeps the last steps of each pod; default: a new one.
	Journal *journal.Log
	Log     *slog.Logger
}

// Kubelet runs the pods of one node.
type Kubelet struct {
	config       Config
	runtime      Runtime
	puller       *images.Puller
	node         *node.Node
	images       *images.Collector
	informers    *source.APIServer
	static       *source.Static
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
	rates     cgroup.Rates
}

func (k *Kubelet) podsDir() string { return filepath.Join(k.config.RootDir, "pods") }

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

func (k *Kubelet) allWorkers() []*worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]*worker, 0, len(k.workers))
	for _, w := range k.workers {
		out = append(out, w)
	}
	return out
}
