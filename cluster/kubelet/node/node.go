// Package node keeps the Node object and the Lease of one node: it registers the node,
// renews the lease, and reports capacity, conditions, images and addresses. It measures
// nothing itself but the machine's own facts; conditions and resources of other writers
// are kept. It never deletes a node.
//
// The caller runs Run in a goroutine, reads Health, and calls ImagesChanged after a pull or
// a removal.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/hostinfo"
)

// How a node reports, as upstream.
const (
	LeaseSeconds = 40
	StatusPeriod = 5 * time.Minute // between reports without a change

	leaseRenew     = 10 * time.Second
	statusCheck    = 2 * time.Second // a change is reported within this time
	startupCheck   = 50 * time.Millisecond
	startupGrace   = 3 * time.Second // after a start, before a node is reported as not ready
	requestTimeout = 5 * time.Second
	kubeletVersion = "v1.36.3-wheelhouse"
)

// Config is what a node is registered with and reported from.
type Config struct {
	NodeName      string
	NodeIP        netip.Addr
	Port          int32  // of the node's server
	PodCIDR       string // empty: the node controller allocates it
	Labels        map[string]string
	Annotations   map[string]string // with an empty value: there is none
	Taints        []v1.Taint
	Unschedulable bool

	Capacity, Allocatable v1.ResourceList
	Handlers              []string // of runtime classes

	Client   kubernetes.Interface
	Recorder record.EventRecorder
	Runtime  Runtime
	Kubelet  Kubelet
	Log      *slog.Logger
}

// Runtime is what the node reports of its container runtime.
type Runtime interface {
	// Version is such as "docker://20.10.24". It fails when the runtime cannot be reached.
	Version(ctx context.Context) (string, error)
	Images(ctx context.Context) ([]cri.Image, error)
}

// Kubelet is what changes while a kubelet runs.
type Kubelet interface {
	// Watching reports whether the events of the runtime are followed.
	Watching() bool
	// Pressures are the pressure conditions of the node.
	Pressures() []v1.NodeConditionType
}

// Node reports one node.
type Node struct {
	Config
	images   images
	lease    *coordinationv1.Lease // as last written; of Run alone
	rebooted bool                  // that is recorded
	rival    string                // a machine with the same name that is reported
	boot     string                // the ID of the machine's boot
	wrote    struct {              // which machine of another boot has written the status, and when that was seen
		who string
		at  time.Time
	}

	mu     sync.Mutex
	health error
}

// New returns a node that is not registered yet.
func New(config Config) *Node { return &Node{Config: config, boot: hostinfo.ReadLine(bootIDFile)} }

// Health is why the node is not ready, nil if it is.
func (n *Node) Health() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health
}

// Event records an event of the node.
func (n *Node) Event(kind, reason, message string) {
	n.Recorder.Event(&v1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: n.NodeName, UID: types.UID(n.NodeName)}, kind, reason, message)
}

// Run registers the node, renews its Lease and reports its status until ctx ends. It returns an error when another machine does so, too.
func (n *Node) Run(ctx context.Context) error {
	start := time.Now()
	var renewed, reported time.Time
	var last v1.NodeStatus
	var stale bool // the node is not as it was reported
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		timer.Reset(statusCheck)
		status := n.status(ctx)
		// A restarted kubelet that is not ready yet would only send traffic away from
		// pods that never stopped.
		if reported.IsZero() && !ready(&status) && time.Since(start) < startupGrace {
			timer.Reset(startupCheck)
			continue
		}
		if stale || time.Since(reported) >= StatusPeriod || !sameStatus(&last, &status) {
			if err := n.report(ctx, &status); err != nil {
				n.Log.Warn("report the node's status", "err", err)
				timer.Reset(500 * time.Millisecond)
				continue
			}
			for _, reason := range transitions(&last, &status) {
				n.Event(v1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", n.NodeName, reason))
			}
			last, reported, stale = status, time.Now(), false
		}
		if time.Since(renewed) >= leaseRenew {
			err := n.renewLease(ctx)
			if apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // it was written or removed by another client
				err = n.renewLease(ctx)
			}
			if err != nil {
				n.Log.Warn("renew the node's lease", "err", err)
				continue
			}
			renewed = time.Now()
			if stale, err = n.stale(ctx, &last); err != nil {
				return err
			}
		}
	}
}

// stale reports whether the node has to be reported again: others have changed its conditions, as the node
// controller does with those of a node that was cut off, another machine has written the status, or the extended resources of its capacity, which the
// allocatable ones have to follow. The error is that of noteRival.
func (n *Node) stale(ctx context.Context, reported *v1.NodeStatus) (bool, error) {
	how := metav1.GetOptions{ResourceVersion: "0"}
	if n.rival != "" {
		how = metav1.GetOptions{} // a cache that is behind could show what was written before the last report
	}
	node, err := n.Client.CoreV1().Nodes().Get(ctx, n.NodeName, how)
	if err != nil {
		return false, nil //nolint:nilerr // the next report reads it again
	}
	s := &node.Status
	if err := n.noteRival(s, reported); err != nil {
		return false, err
	}
	return n.rival != "" || conditionsDiffer(s, reported) || !equality.Semantic.DeepEqual(keepExtended(nil, s.Capacity), keepExtended(nil, s.Allocatable)), nil
}

// conditionsDiffer reports whether a condition that was reported has another status now.
func conditionsDiffer(now, reported *v1.NodeStatus) bool {
	for _, c := range reported.Conditions {
		i := slices.IndexFunc(now.Conditions, func(x v1.NodeCondition) bool { return x.Type == c.Type })
		if i < 0 || now.Conditions[i].Status != c.Status {
			return true
		}
	}
	return false
}

// report writes the status, registers the node if it does not exist, and restores the
// labels and annotations that the kubelet owns.
func (n *Node) report(ctx context.Context, status *v1.NodeStatus) error {
	nodes := n.Client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, n.NodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		n.Event(v1.EventTypeNormal, "Starting", "Starting kubelet.")
		node, err = nodes.Create(ctx, n.object(), metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	if next := n.owned(node); next != nil {
		if node, err = nodes.Update(ctx, next, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if was, is := node.Status.NodeInfo.BootID, status.NodeInfo.BootID; was != "" && was != is && !n.rebooted {
		n.rebooted = true
		n.Event(v1.EventTypeWarning, "Rebooted", fmt.Sprintf("Node %s has been rebooted, boot id: %s", n.NodeName, is))
	}
	next := node.Status.DeepCopy()
	mergeStatus(next, status)
	patch, err := statusPatch(node, next)
	if err != nil {
		return err
	}
	_, err = nodes.Patch(ctx, n.NodeName, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// owned returns the node with the labels and annotations that the kubelet owns, nil if it has them.
func (n *Node) owned(node *v1.Node) *v1.Node {
	next := node.DeepCopy()
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	maps.Copy(next.Labels, n.labels())
	next.Annotations = n.annotate(next.Annotations)
	if maps.Equal(next.Labels, node.Labels) && maps.Equal(next.Annotations, node.Annotations) {
		return nil
	}
	return next
}

// annotate returns the annotations with those that the kubelet owns.
func (n *Node) annotate(have map[string]string) map[string]string {
	for name, value := range n.Annotations {
		if value == "" {
			delete(have, name)
			continue
		}
		if have == nil {
			have = map[string]string{}
		}
		have[name] = value
	}
	return have
}

// object is the node as it is registered.
func (n *Node) object() *v1.Node {
	out := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.NodeName, Labels: n.labels(), Annotations: n.annotate(nil)},
		Spec:       v1.NodeSpec{PodCIDR: n.PodCIDR, Unschedulable: n.Unschedulable, Taints: n.Taints},
	}
	if n.PodCIDR != "" {
		out.Spec.PodCIDRs = []string{n.PodCIDR}
	}
	return out
}

// labels are those that the kubelet owns.
func (n *Node) labels() map[string]string {
	labels := map[string]string{
		v1.LabelHostname: n.NodeName, v1.LabelOSStable: runtime.GOOS, v1.LabelArchStable: runtime.GOARCH,
	}
	maps.Copy(labels, n.Labels)
	return labels
}
