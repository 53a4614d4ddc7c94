package admission_test

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
)

func TestRuntimeClass(t *testing.T) {
	o := cluster()
	tolerate := func(key, value string) corev1.Toleration {
		out := corev1.Toleration{Key: key, Operator: corev1.TolerationOpEqual, Value: value, Effect: corev1.TaintEffectNoSchedule}
		if value == "" {
			out.Operator = corev1.TolerationOpExists
		}
		return out
	}
	cost := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("1Mi")}
	o.Put(nodev1.GroupName, "runtimeclasses",
		&nodev1.RuntimeClass{ObjectMeta: meta("", "plain"), Handler: "runc"},
		&nodev1.RuntimeClass{
			ObjectMeta: meta("", "boxed"), Handler: "box", Overhead: &nodev1.Overhead{PodFixed: cost},
			Scheduling: &nodev1.Scheduling{
				NodeSelector: map[string]string{"box": "yes"},
				Tolerations:  []corev1.Toleration{tolerate("box", "x"), tolerate("any", "")},
			},
		})
	c := newChain(t, o, serviceallocator.Config{})
	pod := func(class string, edit ...func(*corev1.PodSpec)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: meta("a", "p")}
		if class != "" {
			p.Spec.RuntimeClassName = &class
		}
		for _, e := range edit {
			e(&p.Spec)
		}
		return p
	}
	admit := func(p *corev1.Pod) error {
		if err := c.Admit(bg, podRequest(p)); err != nil {
			return err
		}
		return c.Validate(bg, podRequest(p))
	}
	costs := func(s *corev1.PodSpec) { s.Overhead = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")} }
	const forbidden = `pods "p" is forbidden: `
	want(t, admit(pod("")), "")
	want(t, admit(pod("plain")), "")
	want(t, admit(pod("none")), forbidden+`pod rejected: RuntimeClass "none" not found`)
	want(t, admit(pod("", costs)), forbidden+"pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	want(t, admit(pod("plain", costs)), forbidden+"pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	want(t, admit(pod("boxed", costs)), forbidden+"pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
	want(t, admit(pod("boxed", func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"box": "no"} })),
		forbidden+"conflict: runtimeClass.scheduling.nodeSelector[box] = yes; pod.spec.nodeSelector[box] = no")

	p := pod("boxed", func(s *corev1.PodSpec) {
		s.Overhead = cost.DeepCopy() // as a pod that is copied from another one has it
		s.NodeSelector = map[string]string{"disk": "ssd"}
		s.Tolerations = []corev1.Toleration{tolerate("any", "y"), tolerate("own", "z")}
	})
	want(t, admit(p), "")
	if !p.Spec.Overhead.Cpu().Equal(cost[corev1.ResourceCPU]) || len(p.Spec.Overhead) != 2 {
		t.Errorf("overhead %v", p.Spec.Overhead)
	}
	if !maps.Equal(p.Spec.NodeSelector, map[string]string{"disk": "ssd", "box": "yes"}) {
		t.Errorf("node selector %v", p.Spec.NodeSelector)
	}
	var keys []string
	for _, tol := range p.Spec.Tolerations {
		keys = append(keys, tol.Key+"="+tol.Value)
	}
	// "any" tolerates all values already; the last two are every pod's.
	wanted := []string{"own=z", "box=x", "any=", "node.kubernetes.io/not-ready=", "node.kubernetes.io/unreachable="}
	if len(keys) != len(wanted) {
		t.Fatalf("tolerations %v, want %v", keys, wanted)
	}
	for i := range keys {
		if keys[i] != wanted[i] {
			t.Errorf("tolerations %v, want %v", keys, wanted)
			break
		}
	}
	// A pod that runs keeps what it has, whatever became of its class.
	update := podRequest(pod("none", costs))
	update.Verb, update.Old = admission.Update, pod("none", costs)
	want(t, c.Validate(bg, update), "")
}
