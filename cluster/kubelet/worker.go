package kubelet

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
	"wheelhouse/cluster/kubelet/probe"
	"wheelhouse/cluster/kubelet/volume"
)

// When a worker starts its next step.
const (
	retryFirst    = 500 * time.Millisecond // after an error, doubling
	retryMax      = 30 * time.Second
	volumeRefresh = 30 * time.Second // secrets, config maps, tokens
)

// worker runs one pod, from its first event until nothing is left of it on the node. Only
// its own goroutine (run) uses the fields below the line.
type worker struct {
	k           *Kubelet
	ref         cri.PodRef
	dir         string
	log         *slog.Logger
	probes      *probe.Manager
	reporter    *reporter
	wake        chan struct{}
	urgent      chan struct{} // ends the back-off of a failed step, too
	selfStarted selfStarted
	shown       shown

	mu      sync.Mutex
	pod     *v1.Pod
	removed bool // from the API server
	stale   bool // the runtime must be listed again
	cancel  context.CancelFunc
	ip      netip.Addr
	evicted *evicted // nil unless the node evicts the pod

	// ----
	observed  observed
	volumes   *volume.Manager
	refreshed time.Time // of the volumes
	podSeen   *v1.Pod   // the pod that the volumes were made for
	adopted   string    // the sandbox whose network is known
	pulls     map[string]*pullBackoff
	hooked    map[string]bool // containers whose postStart hook still runs
	retry     time.Duration
	finished  bool // nothing of the pod will run again
	reported  *v1.PodStatus
}

func (w *worker) podUID() types.UID { return types.UID(w.ref.UID) }

func newWorker(k *Kubelet, pod *v1.Pod) *worker {
	w := &worker{
		k: k, pod: pod, stale: true,
		ref:    cri.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		dir:    filepath.Join(k.podsDir(), string(pod.UID)),
		log:    k.log.With("pod", pod.Namespace+"/"+pod.Name),
		wake:   make(chan struct{}, 1),
		urgent: make(chan struct{}, 1),
		pulls:  map[string]*pullBackoff{},
		hooked: map[string]bool{},
	}
	w.volumes = volume.NewManager(volume.Config{
		Client: k.config.Client, Recorder: k.config.Recorder, Images: k.runtime,
		HostRoot: k.config.HostRoot, NodeIP: k.config.NodeIP.String(), Capacity: k.capacity,
	}, w.dir)
	w.reporter = newReporter(k.config.Client, w.log)
	w.probes = probe.NewManager(k.runtime, w.containerEvent, w.notify)
	w.observed = observed{backoff: map[string]*backoff{}, Observed: podstatus.Observed{
		Results: w, Waiting: map[string]v1.ContainerStateWaiting{}, Messages: map[string]string{}, HostIP: k.config.NodeIP.String(),
	}}
	return w
}

// Health implements podstatus.Results: that of the probes, but a container is not ready
// while its postStart hook runs.
func (w *worker) Health(id string) podstatus.Health {
	h := w.probes.Health(id)
	h.Ready = h.Ready && !w.hooked[id]
	return h
}

// update replaces the pod by a newer one. The current step is cancelled when the pod is to
// terminate, or to terminate sooner.
func (w *worker) update(pod *v1.Pod) {
	w.mu.Lock()
	old := w.pod
	w.pod = pod
	ending := pod.DeletionTimestamp != nil && (old.DeletionTimestamp == nil || podspec.GracePeriod(pod) < podspec.GracePeriod(old))
	if ending && w.cancel != nil {
		w.cancel()
	}
	w.mu.Unlock()
	w.reporter.saw(pod)
	if ending || pod.Generation != old.Generation {
		w.notifyNow()
	}
	w.notify()
}

// remove records that the pod is gone from the API server.
func (w *worker) remove() {
	w.mu.Lock()
	first := !w.removed
	w.removed = true
	if first && w.cancel != nil { // even while it terminates: its grace period is over
		w.cancel()
	}
	w.mu.Unlock()
	w.notifyNow()
}

// latest is the pod as the API server has it.
func (w *worker) latest() *v1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

// markStale makes the next step list the containers of the pod.
func (w *worker) markStale() {
	w.mu.Lock()
	w.stale = true
	w.mu.Unlock()
	w.notify()
}

func (w *worker) notify() { signal(w.wake) }

// notifyNow wakes the worker even from the back-off of a failed step, as its cause may be
// gone.
func (w *worker) notifyNow() { signal(w.urgent) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *worker) setIP(ip netip.Addr) {
	w.mu.Lock()
	w.ip = ip
	w.mu.Unlock()
}

// podIP is the pod's address, empty if it has none.
func (w *worker) podIP() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ip.IsValid() {
		return ""
	}
	return w.ip.String()
}

// run runs steps until nothing is left of the pod, or ctx ends.
func (w *worker) run(ctx context.Context) {
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	go w.reporter.run(reporting)
	for ctx.Err() == nil {
		stepCtx, cancel := context.WithCancel(ctx)
		w.mu.Lock()
		w.cancel = cancel
		pod, removed, stale := w.pod, w.removed, w.stale
		w.stale = false
		w.mu.Unlock()

		step := &podStep{pod: pod, removed: removed, stale: stale}
		err := w.step(stepCtx, step)
		cancelled := stepCtx.Err() != nil
		cancel()
		wake := w.wake
		switch {
		case step.gone:
			return
		case err == nil:
			w.retry = 0
		case cancelled:
			w.markStale()
		default:
			w.retry = min(max(2*w.retry, retryFirst), retryMax)
			w.log.Warn("pod step failed", "stage", step.stage, "err", err, "retry", w.retry)
			step.again, wake = w.retry, nil
			w.mu.Lock()
			w.stale = true
			w.mu.Unlock()
		}
		w.sleep(ctx, step.again, wake)
	}
}

// sleep waits for a reason for the next step.
func (w *worker) sleep(ctx context.Context, again time.Duration, wake <-chan struct{}) {
	var timer <-chan time.Time
	if again > 0 {
		t := time.NewTimer(again)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-w.urgent:
	case <-wake:
	case <-timer:
	}
}

// observe lists the pod's containers.
func (w *worker) observe(ctx context.Context) error {
	all, err := w.k.runtime.List(ctx, w.ref.UID)
	if err != nil {
		return err
	}
	w.observed.See(all)
	running := map[string]bool{}
	for _, c := range all {
		if c.State == cri.Running {
			running[c.ID] = true
		} else if c.State == cri.Exited && c.Name != cri.SandboxName {
			w.recordTerminationMessage(ctx, c)
		}
	}
	w.probes.Retain(running)
	return nil
}

// report computes the status of the pod and has it sent.
func (w *worker) report() {
	w.observed.PodIP = w.podIP()
	w.observed.Final = w.finished
	status := w.observed.status(time.Now())
	before := &w.observed.Pod.Status
	if w.reported != nil {
		before = w.reported
	}
	countTerminations(w.k.terminations, before, &status)
	w.reported = &status
	w.k.allotments.seen(w.podUID(), &status)
	w.reporter.report(status)
	w.show()
}

// withStatus is the pod with the newest status: the server's, except for what
// this worker has reported and the server has not shown yet.
func (w *worker) withStatus(pod *v1.Pod) *v1.Pod {
	out := *pod
	out.Status = w.reporter.status(pod)
	if w.reported == nil {
		return &out
	}
	if out.Status.StartTime == nil {
		out.Status.StartTime = w.reported.StartTime
	}
	conditions := slices.Clone(w.reported.Conditions)
	for _, c := range out.Status.Conditions {
		if !slices.Contains(ownConditions, c.Type) {
			conditions = slices.DeleteFunc(conditions, func(o v1.PodCondition) bool { return o.Type == c.Type })
			conditions = append(conditions, c)
		}
	}
	out.Status.Conditions = conditions
	return &out
}

// ownConditions are those that the kubelet owns.
var ownConditions = []v1.PodConditionType{v1.PodReadyToStartContainers, v1.PodInitialized, v1.ContainersReady, v1.PodReady, v1.PodResizePending, v1.PodResizeInProgress}
