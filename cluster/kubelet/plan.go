package kubelet

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
	"wheelhouse/cluster/kubelet/resize"
)

// Labels of containers beyond those of cri and of the runtime.
const (
	labelHash  = "wheelhouse.hash" // of what cannot change while it runs
	labelGrace = "io.kubernetes.pod.terminationGracePeriod"
)

// observed is all that the next step of a pod is decided from.
type observed struct {
	podstatus.Observed
	backoff map[string]*backoff // by container name

	size   resize.State
	limits cgroup.Kept // of the groups of containers, by their ids
}

// step is what to do next for a pod.
type step struct {
	finished bool // nothing of the pod will run again
	sandbox  bool // it needs a new sandbox
	kill     []killing
	start    []containerStart
	waiting  map[string]v1.ContainerStateWaiting // backoffs
	again    time.Duration                       // look again after this time, if not 0
}

type killing struct {
	container cri.Container
	message   string
	grace     *int64            // in seconds, where it is not the pod's
	after     []<-chan struct{} // closed when the containers that stop before it have terminated
	done      chan<- struct{}   // closed when it has terminated, if not nil
}

type containerStart struct {
	container *v1.Container
	init      bool
	attempt   int
}

// status returns the pod's status, with the sizes of its containers and the conditions of a
// resize.
func (s *observed) status(now time.Time) v1.PodStatus {
	status := podstatus.Compute(&s.Observed, now)
	s.size.SetStatus(&s.Observed, &status, now)
	return status
}

func (s *observed) needsRestart(c *cri.Container) bool { return s.size.NeedsRestart(s.Pod, c) }

// attempt numbers the next container of a name. Where the containers are gone the
// status has the count.
func (s *observed) attempt(name string) int {
	next := 0
	if c := s.Latest(name); c != nil {
		if c.State == cri.Created {
			return c.Attempt
		}
		next = c.Attempt + 1
	}
	if old := podspec.ContainerStatus(&s.Pod.Status, name); old != nil && (old.ContainerID != "" || old.RestartCount > 0) {
		next = max(next, int(old.RestartCount)+1)
	}
	return next
}

// backsOff reports whether a terminated container counts for the backoff. It does not if it
// was stopped with its sandbox or for its size, or if its successor was removed.
func (s *observed) backsOff(c *cri.Container) bool {
	if s.Sandbox == nil || c.Labels[cri.LabelSandbox] != s.Sandbox.ID || s.needsRestart(c) {
		return false
	}
	old := podspec.ContainerStatus(&s.Pod.Status, c.Name)
	return old == nil || int(old.RestartCount) <= c.Attempt
}

// plan decides the next step of a pod that shall run. Killing comes alone: what
// it leaves behind is looked at again.
func plan(s *observed, now time.Time) *step {
	st := &step{waiting: map[string]v1.ContainerStateWaiting{}}
	st.kill = s.strays()
	if s.Sandbox == nil || s.Sandbox.State != cri.Running {
		if s.over() {
			st.finished = true
			return st
		}
		st.sandbox = true
	}
	if len(st.kill) > 0 {
		st.sandbox = false
		return st
	}
	s.planEphemeral(st)
	initialised, failed := s.planInit(st, now)
	if failed || initialised && s.planApps(st, now) {
		st.finished = true
		st.start, st.waiting = nil, nil // a sidecar that has terminated with the others
		for _, list := range s.Containers {
			for _, c := range list {
				if c.State == cri.Running {
					st.kill = append(st.kill, killing{container: c})
				}
			}
		}
	}
	return st
}

// strays are running containers whose sandbox is dead or replaced.
func (s *observed) strays() []killing {
	var out []killing
	for _, list := range s.Containers {
		for _, c := range list {
			dead := s.Sandbox == nil || s.Sandbox.State != cri.Running || c.Labels[cri.LabelSandbox] != s.Sandbox.ID
			if c.State == cri.Running && dead {
				out = append(out, killing{container: c, message: "Pod sandbox changed, it will be killed and re-created."})
			}
		}
	}
	return out
}

// over reports whether a pod without a sandbox must not be started again: all containers
// have terminated without restart, or its sandbox is lost and its policy is Never.
func (s *observed) over() bool {
	if len(s.Containers) == 0 {
		return podfacts.Terminal(s.Pod)
	}
	if s.Pod.Spec.RestartPolicy == v1.RestartPolicyNever {
		for _, list := range s.Containers {
			for _, c := range list {
				if c.State == cri.Exited {
					return true
				}
			}
		}
	}
	for i := range s.Pod.Spec.Containers {
		c := s.Latest(s.Pod.Spec.Containers[i].Name)
		if c == nil || c.State != cri.Exited || restarts(s.Pod, c) {
			return false
		}
	}
	return true
}

// planInit plans the init containers, one after the other. It returns whether the others
// may run, and whether the pod has failed.
func (s *observed) planInit(st *step, now time.Time) (done, failed bool) {
	first := 0 // what comes before a container that was started has succeeded
	for i := range s.Pod.Spec.InitContainers {
		if c := s.Current(s.Pod.Spec.InitContainers[i].Name); c != nil && c.State != cri.Created {
			first = i
		}
	}
	appsRun := false
	for i := range s.Pod.Spec.Containers {
		appsRun = appsRun || s.Current(s.Pod.Spec.Containers[i].Name) != nil
	}
	for i := range s.Pod.Spec.InitContainers {
		spec := &s.Pod.Spec.InitContainers[i]
		c := s.Current(spec.Name)
		if podfacts.Sidecar(spec) {
			if !s.planOne(st, spec, true, true, now) && !appsRun {
				return false, false
			}
			continue
		}
		if appsRun || i < first {
			continue
		}
		switch {
		case c == nil || c.State == cri.Created:
			st.start = append(st.start, containerStart{spec, true, s.attempt(spec.Name)})
			return false, false
		case c.State == cri.Running:
			return false, false
		case c.ExitCode == 0:
		case !restarts(s.Pod, c):
			return false, true
		default:
			s.planOne(st, spec, true, true, now)
			return false, false
		}
	}
	return true, false
}

// planApps plans the pod's containers; true means that all of them have terminated and do not restart.
func (s *observed) planApps(st *step, now time.Time) bool {
	over := true
	for i := range s.Pod.Spec.Containers {
		spec := &s.Pod.Spec.Containers[i]
		if c := s.Latest(spec.Name); c != nil && c.State == cri.Exited && !restarts(s.Pod, c) && !s.needsRestart(c) {
			continue
		}
		over = false
		s.planOne(st, spec, false, s.Pod.Spec.RestartPolicy != v1.RestartPolicyNever, now)
	}
	return over
}

// planOne plans a container that shall run; true means it runs and has started.
func (s *observed) planOne(st *step, spec *v1.Container, init, again bool, now time.Time) bool {
	c := s.Latest(spec.Name)
	switch {
	case c == nil || c.State == cri.Created:
		st.start = append(st.start, containerStart{spec, init, s.attempt(spec.Name)})
	case c.State == cri.Running:
		h := s.Results.Health(c.ID)
		switch hash := containerHash(spec); {
		case c.Labels[labelHash] != hash && again:
			st.kill = append(st.kill, killing{container: *c, message: fmt.Sprintf("Container %s definition changed, will be restarted", spec.Name)})
		case s.needsRestart(c):
			st.kill = append(st.kill, killing{container: *c, message: fmt.Sprintf("Container %s resize requires restart", spec.Name)})
		case h.Failing != "":
			st.kill = append(st.kill, killing{
				container: *c, grace: probeGrace(spec, h.Failing),
				message: fmt.Sprintf("Container %s failed %s probe, will be restarted", spec.Name, h.Failing),
			})
		}
		return h.Started
	default:
		b := s.backoff[spec.Name]
		if b == nil {
			b = &backoff{}
		}
		wait := b.remaining(c.Finished, now)
		if wait == 0 || !s.backsOff(c) {
			st.start = append(st.start, containerStart{spec, init, s.attempt(spec.Name)})
			break
		}
		st.waiting[spec.Name] = v1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
				b.wait, spec.Name, s.Pod.Name, s.Pod.Namespace, s.Pod.UID),
		}
		if st.again == 0 || wait < st.again {
			st.again = wait
		}
	}
	return false
}

// probeGrace is the grace period of a container that a probe has failed, where the probe sets
// one.
func probeGrace(spec *v1.Container, failing string) *int64 {
	probe := spec.LivenessProbe
	if failing == "startup" {
		probe = spec.StartupProbe
	}
	if probe == nil {
		return nil
	}
	return probe.TerminationGracePeriodSeconds
}

// containerHash stands for what may be edited in a pod and takes a new container.
func containerHash(c *v1.Container) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s", c.Name, c.Image)
	return strconv.FormatUint(h.Sum64(), 16)
}

// planEphemeral starts the ephemeral containers that have never been started. They are added
// to a running pod to debug it (kubectl debug), are never restarted, and nothing waits for them.
func (s *observed) planEphemeral(st *step) {
	for i := range s.Pod.Spec.EphemeralContainers {
		e := &s.Pod.Spec.EphemeralContainers[i]
		if c := s.Latest(e.Name); c != nil && c.State != cri.Created {
			continue
		}
		if old := podspec.ContainerStatus(&s.Pod.Status, e.Name); old != nil && old.ContainerID != "" {
			continue // it has been, and was removed
		}
		st.start = append(st.start, containerStart{container: podspec.AsContainer(e), attempt: s.attempt(e.Name)})
	}
}

// processesOf is the container whose processes an ephemeral one shall see, if any.
func (s *observed) processesOf(name string) (string, error) {
	e := podspec.EphemeralContainer(s.Pod, name)
	if e == nil || e.TargetContainerName == "" {
		return "", nil
	}
	c := s.Current(e.TargetContainerName)
	if c == nil || c.State != cri.Running {
		return "", fmt.Errorf("unable to find target container %s: it is not running", e.TargetContainerName)
	}
	return c.ID, nil
}

// restarts reports whether a terminated container restarts.
func restarts(pod *v1.Pod, c *cri.Container) bool {
	return podspec.ShouldRestart(&pod.Spec, podspec.Container(pod, c.Name), int32(c.ExitCode))
}

// The waits between starts of a container that keeps ending, as upstream.
const (
	backoffFirst = 10 * time.Second
	backoffMax   = 5 * time.Minute
	backoffReset = 2 * backoffMax
)

// backoff is the backoff of one container's restarts. With the zero value the first restart
// is immediate; each one after it waits twice as long as the one before.
type backoff struct {
	wait time.Duration // before the next restart, counted from the end of the last run
	last time.Time     // the last restart
}

// remaining is how long a container that terminated at finished still waits.
func (b *backoff) remaining(finished, now time.Time) time.Duration {
	if b.wait == 0 || finished.Sub(b.last) > backoffReset {
		return 0
	}
	return max(0, finished.Add(b.wait).Sub(now))
}

// restarted records a restart of a container that terminated at finished.
func (b *backoff) restarted(finished, now time.Time) {
	switch {
	case b.wait == 0 || finished.Sub(b.last) > backoffReset:
		b.wait = backoffFirst
	default:
		b.wait = min(2*b.wait, backoffMax)
	}
	b.last = now
}

// soonest is the smaller of the times that are not zero.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
