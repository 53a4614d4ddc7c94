package kubelet

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/images"
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
// its own goroutine (run) uses the fields below the line. It has more than 30 methods, the
// stages of a step and their parts: they share what is observed of the pod.
type worker struct {
	k           *Kubelet
	ref         cri.PodRef
	seen        time.Time // when the kubelet had the pod first
	dir         string
	log         *slog.Logger
	probes      *probe.Manager
	reporter    *reporter
	selfStarted selfStarted
	published   published
	images      *images.Pod
	input
	podEvents
	podNetwork

	// ----
	observed      observed
	volumes       *volume.Manager
	refreshed     refresh         // of the volumes
	adopted       string          // the sandbox whose network is set up
	repaired      time.Time       // the last check
	volumesFailed time.Time       // when a volume could not be set up again
	hooked        map[string]bool // containers whose postStart hook has not succeeded
	retry         time.Duration
	finished      bool // nothing of the pod will run again
	reported      *v1.PodStatus
}

// refresh is when volumes were refreshed, and for which pod.
type refresh struct {
	at  time.Time
	pod *v1.Pod
}

func (w *worker) podUID() types.UID { return types.UID(w.ref.UID) }

func newWorker(k *Kubelet, pod *v1.Pod) *worker {
	w := &worker{
		k: k, input: newInput(pod), seen: time.Now(),
		ref:    cri.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)},
		dir:    filepath.Join(k.podsDir(), string(pod.UID)),
		log:    k.log.With("pod", pod.Namespace+"/"+pod.Name),
		hooked: map[string]bool{},
	}
	w.podEvents = podEvents{recorder: k.config.Recorder, ref: w.ref, newest: w.latest}
	w.podNetwork = podNetwork{network: k.config.Network, uid: w.ref.UID, events: &w.podEvents}
	w.images = images.NewPod(k.puller, k.objects, &w.podEvents)
	w.volumes = volume.NewManager(volume.Config{
		Client: k.config.Client, Recorder: k.config.Recorder, Images: k.runtime,
		HostRoot: k.config.HostRoot, NodeIP: k.config.NodeIP.String(), Capacity: k.capacity, Provisioned: k.config.PodSecurity != nil,
	}, w.dir)
	w.reporter = newReporter(k.config.Client, w.log)
	w.probes = probe.NewManager(k.runtime, w.ContainerEvent, w.notify, w.recordProbe)
	w.observed = observed{backoff: map[string]*backoff{}, Observed: podstatus.Observed{
		Results: w, Waiting: map[string]v1.ContainerStateWaiting{}, Messages: map[string]string{}, HostIP: k.config.NodeIP.String(),
	}}
	return w
}

// Health implements podstatus.Results: that of the probes, but a container is not ready before its postStart hook has
// succeeded. One whose hook has failed is seen as running until the runtime is looked at after its end.
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
	if status.Phase == v1.PodRunning && before.Phase != v1.PodRunning {
		podStart.Observe(time.Since(w.seen).Seconds())
	}
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

// observeEvent takes an event of the runtime about the worker's pod.
func (w *worker) observeEvent(e cri.Event) {
	if w.selfStarted.remove(e.ContainerID) && e.Started {
		return
	}
	w.markStale()
}

// publish publishes the worker's containers as they are now.
func (w *worker) publish() {
	s := &w.published
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []running
	paths, states := map[string]string{}, map[string]cri.State{}
	if w.observed.Sandbox != nil {
		states[w.observed.Sandbox.ID] = w.observed.Sandbox.State
	}
	for _, all := range w.observed.Containers {
		for _, c := range all {
			states[c.ID] = c.State
			if c.State != cri.Running || c.Pid == 0 {
				continue
			}
			path, ok := s.paths[c.ID]
			if !ok {
				var err error
				if path, err = cgroup.Of(c.Pid); err != nil {
					continue // it has just terminated
				}
			}
			paths[c.ID] = path
			list = append(list, running{c, path})
		}
	}
	s.list, s.paths, s.all = list, paths, states
}

// fail makes the pod terminate: its containers are stopped, and its phase becomes Failed.
// Only the worker's own goroutine calls it.
func (w *worker) fail(reason, message string) {
	if w.observed.Failed == nil {
		w.observed.Failed, w.finished = &podstatus.Failure{Reason: reason, Message: message}, true
	}
}

// followHealth starts the probes of the containers that run.
func (w *worker) followHealth(pod *v1.Pod) {
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := w.observed.Current(list[i].Name)
			if c == nil || c.State != cri.Running {
				continue
			}
			before := podspec.ContainerStatus(&pod.Status, c.Name)
			if before != nil && before.ContainerID != c.StatusID() {
				before = nil
			}
			w.probes.Follow(w.k.ctx, probe.Target{ID: c.ID, Container: &list[i], Pod: cri.PodRef{Namespace: w.ref.Namespace, Name: w.ref.Name, UID: w.ref.UID}, PodIP: w.podIP()}, c.StartedAt, before)
		}
	}
}

// file is one of the pod's files in /etc, or beside them.
func (w *worker) file(name string) string { return filepath.Join(w.dir, "etc", name) }

func (w *worker) messagePath(container string, attempt int) string {
	return filepath.Join(w.dir, "containers", container, strconv.Itoa(attempt))
}
