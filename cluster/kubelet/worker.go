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

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
	"wheelhouse/cluster/kubelet/probe"
	"wheelhouse/cluster/kubelet/volume"
)

// How soon a worker looks again.
const (
	retryFirst    = 500 * time.Millisecond // after an error, doubling
	retryMax      = 30 * time.Second
	volumeRefresh = 30 * time.Second // secrets, config maps, tokens
)

// worker looks after one pod, from its first sight to the removal of the last
// trace. Only its own goroutine (run) touches the fields below the line.
type worker struct {
	k        *Kubelet
	ref      cri.PodRef
	dir      string
	log      *slog.Logger
	probes   *probe.Manager
	reporter *reporter
	wake     chan struct{}
	urgent   chan struct{} // wakes also while a failed step waits for its retry
	begun    begun
	shown    shown

	mu      sync.Mutex
	pod     *v1.Pod
	removed bool // the API server does not have the pod any more
	stale   bool // the runtime must be asked again
	cancel  context.CancelFunc
	ip      netip.Addr
	evicted *eviction // the node wants the pod to end

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
	w.probes = probe.NewManager(k.runtime, w.containerEvent, w.poke)
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

// update gives the worker a newer pod. A step that is under way is broken off
// when the pod is to end (sooner).
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
		w.hurry()
	}
	w.poke()
}

// remove tells that the API server has deleted the pod.
func (w *worker) remove() {
	w.mu.Lock()
	first := !w.removed
	w.removed = true
	if first && w.cancel != nil { // even if it is ending: nobody waits for its grace any more
		w.cancel()
	}
	w.mu.Unlock()
	w.hurry()
}

// latest is the pod as the API server has it.
func (w *worker) latest() *v1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

// touch tells that the runtime has something new about the pod.
func (w *worker) touch() {
	w.mu.Lock()
	w.stale = true
	w.mu.Unlock()
	w.poke()
}

func (w *worker) poke() { signal(w.wake) }

// hurry wakes the worker even if it waits for the retry of what has failed: what
// it failed at may be another matter now.
func (w *worker) hurry() { signal(w.urgent) }

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

// run is the worker's loop; it returns when nothing is left of the pod, or ctx
// is done.
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

		again, gone, err := w.step(stepCtx, pod, removed, stale)
		broken := stepCtx.Err() != nil
		cancel()
		switch {
		case gone:
			return
		case err == nil:
			w.retry = 0
		case broken:
			w.touch() // another task has come in between
		default:
			w.retry = min(max(2*w.retry, retryFirst), retryMax)
			w.log.Warn("pod step failed", "error", err, "retry", w.retry)
			again = w.retry
			w.mu.Lock()
			w.stale = true
			w.mu.Unlock()
		}
		if err == nil || broken {
			w.sleep(ctx, again, w.wake)
		} else {
			w.sleep(ctx, again, nil)
		}
	}
}

// sleep waits for a reason to look again.
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

// step does what is next for the pod. again is when to look again if nothing
// happens before; gone means that the worker is done.
func (w *worker) step(ctx context.Context, pod *v1.Pod, removed, stale bool) (again time.Duration, gone bool, err error) {
	pod = w.withStatus(pod)
	w.observed.Pod = pod
	if stale {
		if err := w.observe(ctx); err != nil {
			return 0, false, err
		}
	}
	if removed || pod.DeletionTimestamp != nil {
		w.k.allotments.settle(w.podUID())
		gone, err := w.terminate(ctx, pod, removed)
		return 0, gone, err
	}
	pod, undecided := w.decideSize(pod)
	w.refuse(pod)
	w.refusePressed(pod)
	w.obeyEviction(pod)
	left := w.deadline(pod, time.Now())
	if w.finished || podfacts.Terminal(pod) {
		return 0, false, w.retire(ctx, pod)
	}
	again, err = w.sync(ctx, pod)
	return soonest(soonest(again, left), undecided), false, err
}

// observe asks the runtime for the pod's containers.
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
			w.hearLastWord(ctx, c)
		}
	}
	w.probes.Retain(running)
	return nil
}

// report sends what is seen as the pod's status.
func (w *worker) report() {
	w.observed.PodIP = w.podIP()
	w.observed.Final = w.finished
	status := w.observed.status(time.Now())
	before := &w.observed.Pod.Status
	if w.reported != nil {
		before = w.reported
	}
	countEnds(w.k.ends, before, &status)
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

// ownConditions are those that the kubelet sets.
var ownConditions = []v1.PodConditionType{v1.PodReadyToStartContainers, v1.PodInitialized, v1.ContainersReady, v1.PodReady, v1.PodResizePending, v1.PodResizeInProgress}
