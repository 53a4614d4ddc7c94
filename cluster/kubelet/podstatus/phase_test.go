package podstatus

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

// No pod is Succeeded or Failed while a container of it runs, of whichever kind: policies, quota and the scheduler ignore
// a pod that has terminated.
func TestNothingRunsInATerminalPhase(t *testing.T) {
	sidecar := v1.Container{Name: "side", RestartPolicy: new(v1.ContainerRestartPolicyAlways)}
	running := func(name string) cri.Container { return cri.Container{Name: name, State: cri.Running} }
	exited := func(name string, code int) cri.Container {
		return cri.Container{Name: name, State: cri.Exited, ExitCode: code}
	}
	deadline := &Failure{Reason: "DeadlineExceeded", Message: "too late"}
	for name, c := range map[string]struct {
		init       []v1.Container
		containers []cri.Container
		failed     *Failure
		want       v1.PodPhase
		reason     string
	}{
		"failed, an init container runs": {
			init: []v1.Container{{Name: "init"}}, containers: []cri.Container{running("init")}, failed: deadline, want: v1.PodPending,
		},
		"failed, the init container has ended": {
			init: []v1.Container{{Name: "init"}}, containers: []cri.Container{exited("init", 137)}, failed: deadline, want: v1.PodFailed, reason: "DeadlineExceeded",
		},
		"failed, a sidecar runs": {
			init: []v1.Container{sidecar}, containers: []cri.Container{running("side"), exited("main", 1)}, failed: deadline, want: v1.PodRunning,
		},
		"an init container has failed, a sidecar before it runs": {
			init: []v1.Container{sidecar, {Name: "init"}}, containers: []cri.Container{running("side"), exited("init", 1)}, want: v1.PodPending,
		},
		"failed, an ephemeral container runs": {
			containers: []cri.Container{exited("main", 1), running("debug")}, failed: deadline, want: v1.PodRunning,
		},
		"succeeded, an ephemeral container runs": {
			containers: []cri.Container{exited("main", 0), running("debug")}, want: v1.PodRunning,
		},
		"succeeded, the ephemeral container has ended": {
			containers: []cri.Container{exited("main", 0), exited("debug", 1)}, want: v1.PodSucceeded,
		},
		"failed before anything ran": {failed: deadline, want: v1.PodFailed, reason: "DeadlineExceeded"},
	} {
		pod := &v1.Pod{Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, InitContainers: c.init, Containers: []v1.Container{{Name: "main"}}}}
		pod.Spec.EphemeralContainers = []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "debug"}}}
		s := &Observed{Pod: pod, Results: healthy{}, Containers: map[string][]cri.Container{}, Failed: c.failed, Final: c.failed != nil}
		for _, have := range c.containers {
			s.Containers[have.Name] = []cri.Container{have}
		}
		if got := Compute(s, time.Unix(0, 0)); got.Phase != c.want || got.Reason != c.reason {
			t.Errorf("%s: phase %s, reason %q, want %s and %q", name, got.Phase, got.Reason, c.want, c.reason)
		}
		// What the API server has as terminal stays so.
		pod.Status.Phase = v1.PodFailed
		if got := Compute(s, time.Unix(0, 0)); got.Phase != v1.PodFailed {
			t.Errorf("%s: phase %s after Failed", name, got.Phase)
		}
	}
}
