package kubelet

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/cri"
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
// its own goroutine (run) uses the fields below the line. It has more than 30 methods, the
// stages of a step and their parts: they share what is observed of the pod.
type worker struct {
	k           *Kubelet
	ref         cri.PodRef
	dir         string
	log         *slog.Logger
	probes      *probe.Manager
	reporter    *reporter
	selfStarted selfStarted
	published   published
	input
	podEvents
	podNetwork
	podImages

	// ----
	observed  observed
	volumes   *volume.Manager
	refreshed refresh         // of the volumes
	adopted   string          // the sandbox whose network is set up
	hooked    map[string]bool // containers whose postStart hook still runs
	retry     time.Duration
	finished  bool // nothing of the pod will run again
	reported  *v1.PodStatus
}

// refresh is when volumes were refreshed, and for which pod.
type refresh struct {
	at  time.Time
	pod *v1.Pod
}

func (w *worker) podUID() types.UID { return types.UID(w.ref.UID) }

func newWorker(k *Kubelet, pod *v1.Pod) *worker {
	w := &worker{
		k: k, input: newInput(pod),
		ref:    cri.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		dir:    filepath.Join(k.podsDir(), string(pod.UID)),
		log:    k.log.With("pod", pod.Namespace+"/"+pod.Name),
		hooked: map[string]bool{},
	}
	w.podEvents = podEvents{recorder: k.config.Recorder, ref: w.ref, newest: w.latest}
	w.podNetwork = podNetwork{network: k.config.Network, uid: w.ref.UID, events: &w.podEvents}
	w.podImages = podImages{puller: k.puller, secrets: k.objects, events: &w.podEvents, pulls: map[string]*pullBackoff{}}
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

// update replaces the pod by a newer one.
func (w *worker) update(pod *v1.Pod) {
	urgent := w.replace(pod)
	w.reporter.record(pod)
	if urgent {
		w.notifyNow()
	}
	w.notify()
}

// run runs steps until nothing is left of the pod, or ctx ends.
func (w *worker) run(ctx context.Context) {
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	go w.reporter.run(reporting)
	for ctx.Err() == nil {
		stepCtx, cancel := context.WithCancel(ctx)
		step := w.take(cancel)
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
			w.markStale()
		}
		w.sleep(ctx, step.again, wake)
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
	w.k.allocations.Reported(w.podUID(), &status)
	w.reporter.report(status)
	w.publish()
}

// withStatus is the pod with its newest status: the server's, except for what this worker
// has reported and the server does not have yet.
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
