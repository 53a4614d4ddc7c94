package kubelet

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podstatus"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// results is one health for all containers.
type results podstatus.Health

func (r results) Health(string) podstatus.Health { return podstatus.Health(r) }

// seen returns what is observed of a pod with containers a, b, ... of which some have ended.
func seen(policy v1.RestartPolicy, containers ...cri.Container) *observed {
	s := &observed{backoff: map[string]*backoff{}, Observed: podstatus.Observed{
		Pod:     &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "u"}, Spec: v1.PodSpec{RestartPolicy: policy}},
		Results: results{Started: true, Ready: true}, Waiting: map[string]v1.ContainerStateWaiting{},
		PodIP: "10.0.0.1", HostIP: "10.0.0.2",
	}}
	all := []cri.Container{{ID: "sandbox", Name: cri.SandboxName, State: cri.Running}}
	for i, c := range containers {
		if c.Name == "" {
			c.Name = string(rune('a' + i))
		}
		spec := v1.Container{Name: c.Name, Image: "i"}
		s.Pod.Spec.Containers = append(s.Pod.Spec.Containers, spec)
		c.Runtime, c.ID, c.Labels = "docker", "id-"+c.Name, map[string]string{cri.LabelSandbox: "sandbox", labelHash: containerHash(&spec)}
		if c.State != "" {
			all = append(all, c)
		}
	}
	s.See(all)
	return s
}

func exited(code int) cri.Container {
	return cri.Container{State: cri.Exited, ExitCode: code, StartedAt: noon.Add(-time.Minute), Finished: noon.Add(-time.Second)}
}

// The six cases of one container and the three of two that the workshop lists:
// what the pod's phase is, and whether the container is started again.
func TestRestartPolicies(t *testing.T) {
	running := cri.Container{State: cri.Running, StartedAt: noon.Add(-time.Minute)}
	for _, c := range []struct {
		name       string
		policy     v1.RestartPolicy
		containers []cri.Container
		phase      v1.PodPhase
		start      int
		finished   bool
	}{
		{"success, Always", v1.RestartPolicyAlways, []cri.Container{exited(0)}, v1.PodRunning, 1, false},
		{"success, OnFailure", v1.RestartPolicyOnFailure, []cri.Container{exited(0)}, v1.PodSucceeded, 0, true},
		{"success, Never", v1.RestartPolicyNever, []cri.Container{exited(0)}, v1.PodSucceeded, 0, true},
		{"failure, Always", v1.RestartPolicyAlways, []cri.Container{exited(1)}, v1.PodRunning, 1, false},
		{"failure, OnFailure", v1.RestartPolicyOnFailure, []cri.Container{exited(1)}, v1.PodRunning, 1, false},
		{"failure, Never", v1.RestartPolicyNever, []cri.Container{exited(1)}, v1.PodFailed, 0, true},
		{"one of two fails, Always", v1.RestartPolicyAlways, []cri.Container{running, exited(1)}, v1.PodRunning, 1, false},
		{"one of two fails, OnFailure", v1.RestartPolicyOnFailure, []cri.Container{running, exited(1)}, v1.PodRunning, 1, false},
		{"one of two fails, Never", v1.RestartPolicyNever, []cri.Container{running, exited(1)}, v1.PodRunning, 0, false},
		{"both end, one failed, Never", v1.RestartPolicyNever, []cri.Container{exited(0), exited(1)}, v1.PodFailed, 0, true},
		{"nothing started yet", v1.RestartPolicyAlways, []cri.Container{{}}, v1.PodPending, 1, false},
	} {
		s := seen(c.policy, c.containers...)
		next := plan(s, noon)
		if len(next.start) != c.start || next.finished != c.finished || len(next.kill) != 0 {
			t.Errorf("%s: starts %d, finished %v, kills %v", c.name, len(next.start), next.finished, next.kill)
		}
		if got := s.status(noon); got.Phase != c.phase {
			t.Errorf("%s: phase %s, want %s", c.name, got.Phase, c.phase)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Run("a dead sandbox", func(t *testing.T) {
		s := seen(v1.RestartPolicyAlways, cri.Container{State: cri.Running})
		s.Sandbox.State = cri.Exited
		if next := plan(s, noon); len(next.kill) != 1 || next.sandbox {
			t.Errorf("first %+v, want the stray container killed", next)
		}
		s.Containers["a"][0].State = cri.Exited
		if next := plan(s, noon); !next.sandbox || len(next.start) != 1 || next.start[0].attempt != 1 {
			t.Errorf("then %+v, want a sandbox and a start", next)
		}
		s.Pod.Spec.RestartPolicy = v1.RestartPolicyNever
		if next := plan(s, noon); next.sandbox || !next.finished {
			t.Errorf("restart policy Never: %+v, want the end", next)
		}
	})
	t.Run("a failed liveness probe", func(t *testing.T) {
		s := seen(v1.RestartPolicyAlways, cri.Container{State: cri.Running})
		s.Results = results{Started: true, Failing: "liveness"}
		next := plan(s, noon)
		if len(next.kill) != 1 || next.kill[0].message != "Container a failed liveness probe, will be restarted" {
			t.Errorf("%+v", next)
		}
	})
	t.Run("another image", func(t *testing.T) {
		s := seen(v1.RestartPolicyAlways, cri.Container{State: cri.Running})
		s.Pod.Spec.Containers[0].Image = "new"
		if next := plan(s, noon); len(next.kill) != 1 || !strings.Contains(next.kill[0].message, "definition changed") {
			t.Errorf("%+v", next)
		}
	})
	t.Run("backoff", func(t *testing.T) {
		s := seen(v1.RestartPolicyAlways, exited(1))
		s.backoff["a"] = &backoff{wait: backoffFirst, last: noon.Add(-2 * time.Second)}
		next := plan(s, noon)
		if len(next.start) != 0 || next.again != 9*time.Second || next.waiting["a"].Reason != "CrashLoopBackOff" ||
			next.waiting["a"].Message != "back-off 10s restarting failed container=a pod=p_ns(u)" {
			t.Errorf("%+v", next)
		}
	})
	t.Run("a removed container", func(t *testing.T) {
		s := seen(v1.RestartPolicyAlways, cri.Container{})
		s.Pod.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "a", ContainerID: "docker://x", RestartCount: 4}}
		if next := plan(s, noon); len(next.start) != 1 || next.start[0].attempt != 5 {
			t.Errorf("%+v", next)
		}
	})
}

// Init containers run one after the other, before the others.
func TestInitContainers(t *testing.T) {
	s := seen(v1.RestartPolicyOnFailure, cri.Container{})
	s.Pod.Spec.InitContainers = []v1.Container{{Name: "i1"}, {Name: "i2"}}
	starts := func() string {
		next := plan(s, noon)
		var out []string
		for _, st := range next.start {
			out = append(out, st.container.Name)
		}
		if next.finished {
			out = append(out, "finished")
		}
		return strings.Join(out, " ")
	}
	put := func(name string, c cri.Container) {
		c.Name, c.ID, c.Labels = name, name, map[string]string{cri.LabelSandbox: "sandbox"}
		s.Containers[name] = []cri.Container{c}
	}
	if got := starts(); got != "i1" {
		t.Errorf("first %q", got)
	}
	put("i1", cri.Container{State: cri.Running})
	if got := starts(); got != "" {
		t.Errorf("while the first runs: %q", got)
	}
	put("i1", exited(1))
	if got := starts(); got != "i1" {
		t.Errorf("after a failure: %q", got)
	}
	s.Pod.Spec.RestartPolicy = v1.RestartPolicyNever
	if got := starts(); got != "finished" {
		t.Errorf("after a failure, never restarted: %q", got)
	}
	if got := s.status(noon); got.Phase != v1.PodFailed {
		t.Errorf("phase %s, want Failed", got.Phase)
	}
	put("i1", exited(0))
	if got := starts(); got != "i2" {
		t.Errorf("after the first: %q", got)
	}
	put("i2", exited(0))
	if got := starts(); got != "a" {
		t.Errorf("after the last: %q", got)
	}
	put("a", cri.Container{State: cri.Running})
	delete(s.Containers, "i1") // removed by another program
	if got := starts(); got != "" {
		t.Errorf("while all is well: %q", got)
	}
	if got := s.status(noon); got.Phase != v1.PodRunning && got.Phase != v1.PodPending {
		t.Errorf("phase %s", got.Phase)
	}
}

func TestConditions(t *testing.T) {
	s := seen(v1.RestartPolicyAlways, cri.Container{State: cri.Running})
	s.Pod.Spec.ReadinessGates = []v1.PodReadinessGate{{ConditionType: "example.com/gate"}}
	s.Pod.Generation = 3
	s.Pod.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue, ObservedGeneration: 1}}
	get := func(kind v1.PodConditionType) v1.PodCondition {
		for _, c := range s.status(noon).Conditions {
			if c.Type == kind {
				return c
			}
		}
		return v1.PodCondition{}
	}
	if c := get(v1.PodReady); c.Status != v1.ConditionFalse || c.Reason != "ReadinessGatesNotReady" {
		t.Errorf("closed gate: %+v", c)
	}
	s.Pod.Status.Conditions = append(s.Pod.Status.Conditions, v1.PodCondition{Type: "example.com/gate", Status: v1.ConditionTrue})
	if c := get(v1.PodReady); c.Status != v1.ConditionTrue {
		t.Errorf("open gate: %+v", c)
	}
	if c := get(v1.PodScheduled); c.Status != v1.ConditionTrue || c.ObservedGeneration != 3 || !c.LastTransitionTime.IsZero() {
		t.Errorf("the scheduler's condition: %+v", c)
	}
	s.Results = results{Started: true}
	if c := get(v1.ContainersReady); c.Status != v1.ConditionFalse || c.Message != "containers with unready status: [a]" {
		t.Errorf("unready: %+v", c)
	}
}

// A container may have a policy of its own, and rules by exit code that come before it:
// what the pod's phase is then, and whether the container is started again.
func TestOwnRestartPolicies(t *testing.T) {
	const always, never, onFailure = v1.ContainerRestartPolicyAlways, v1.ContainerRestartPolicyNever, v1.ContainerRestartPolicyOnFailure
	in, notIn := v1.ContainerRestartRuleOnExitCodesOpIn, v1.ContainerRestartRuleOnExitCodesOpNotIn
	rules := func(op v1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) []v1.ContainerRestartRule {
		return []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestart, ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: op, Values: codes}}}
	}
	for _, c := range []struct {
		name  string
		pod   v1.RestartPolicy
		own   v1.ContainerRestartPolicy
		rules []v1.ContainerRestartRule
		code  int
		phase v1.PodPhase
		again bool
	}{
		{"Always of a pod that never does", v1.RestartPolicyNever, always, nil, 0, v1.PodRunning, true},
		{"Never of a pod that always does, failed", v1.RestartPolicyAlways, never, nil, 1, v1.PodFailed, false},
		{"Never of a pod that always does", v1.RestartPolicyAlways, never, nil, 0, v1.PodSucceeded, false},
		{"OnFailure, failed", v1.RestartPolicyNever, onFailure, nil, 1, v1.PodRunning, true},
		{"OnFailure", v1.RestartPolicyAlways, onFailure, nil, 0, v1.PodSucceeded, false},
		{"a rule names the code", v1.RestartPolicyNever, never, rules(in, 41, 42), 42, v1.PodRunning, true},
		{"a rule names another", v1.RestartPolicyNever, never, rules(in, 41), 42, v1.PodFailed, false},
		{"a rule excepts the code", v1.RestartPolicyNever, never, rules(notIn, 42), 42, v1.PodFailed, false},
		{"a rule excepts another", v1.RestartPolicyNever, never, rules(notIn, 41), 42, v1.PodRunning, true},
	} {
		s := seen(c.pod, exited(c.code))
		s.Pod.Spec.Containers[0].RestartPolicy, s.Pod.Spec.Containers[0].RestartPolicyRules = &c.own, c.rules
		next := plan(s, noon)
		if (len(next.start) == 1) != c.again || next.finished == c.again {
			t.Errorf("%s: starts %d, finished %v", c.name, len(next.start), next.finished)
		}
		if got := s.status(noon); got.Phase != c.phase {
			t.Errorf("%s: phase %s, want %s", c.name, got.Phase, c.phase)
		}
	}
}

// The first restart is immediate; then 10 s, doubled up to 5 min; ten good minutes
// reset it.
func TestBackoff(t *testing.T) {
	var b backoff
	now := noon
	for i, want := range []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 300 * time.Second, 300 * time.Second} {
		if got := b.remaining(now, now); got != want {
			t.Errorf("restart %d: waits %s, want %s", i+1, got, want)
		}
		b.restarted(now, now.Add(want))
		now = now.Add(want + time.Second)
	}
	if got := b.remaining(now.Add(11*time.Minute), now.Add(11*time.Minute)); got != 0 {
		t.Errorf("after a long good run: waits %s", got)
	}
}
