// Package scheduler assigns each pod to a node.
//
// It watches pods and nodes, and writes a Binding for a pod that fits, and for one that does
// not the condition PodScheduled, its nominated node, and events. Two more writes precede a
// Binding: lower-priority pods are preempted, and claims that wait for their first
// consumer get a volume or the selected node. It never touches pods with another
// schedulerName, so several schedulers can run side by side. README.md draws the way of a pod.
//
// One goroutine schedules one pod after the other on a cache of the cluster that is kept up to
// date by watches (cluster.go); binders write concurrently. A pod counts on its node from
// then on ("assumed"), and is removed from it if the binding fails.
package scheduler

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/journal"
)

// Config is what the scheduler is given. Informers may be shared; Run starts them.
type Config struct {
	Client    kubernetes.Interface
	Informers *client.SharedInformers
	Recorder  record.EventRecorder
	Name      string       // "" is default-scheduler
	Journal   *journal.Log // keeps the decisions about each pod; nil: none
	Log       *slog.Logger
}

// Scheduler assigns pods to nodes. Make it with New.
type Scheduler struct {
	Config
	queue    *queue
	claims   claimReader
	services listers.ServiceLister
	rcs      listers.ReplicationControllerLister
	pods     listers.PodLister
	budgets  policylisters.PodDisruptionBudgetLister
	synced   []cache.InformerSynced

	mu       sync.Mutex // guards the two
	cluster  *cluster
	reserved map[string]bool // volumes that are selected for claims and not yet bound

	binding chan struct{} // a slot for each binder
	ready   atomic.Bool
	busy    atomic.Int64 // start of the present scheduling cycle, unix nanoseconds
}
