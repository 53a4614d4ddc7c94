package daemonset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Unix(1_000_000, 0)

func set(edit ...func(*apps.DaemonSet)) *apps.DaemonSet {
	ds := &apps.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "agent", UID: "1"}}
	ds.Spec.Template.Labels = map[string]string{"app": "agent"}
	ds.Spec.UpdateStrategy.Type = apps.RollingUpdateDaemonSetStrategyType
	for _, e := range edit {
		e(ds)
	}
	return ds
}

func rolling(unavailable, surge string) func(*apps.DaemonSet) {
	return func(ds *apps.DaemonSet) {
		u, s := intstr.Parse(unavailable), intstr.Parse(surge)
		ds.Spec.UpdateStrategy.RollingUpdate = &apps.RollingUpdateDaemonSet{MaxUnavailable: &u, MaxSurge: &s}
	}
}

func node(name string, taints ...v1.Taint) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"disk": name}}, Spec: v1.NodeSpec{Taints: taints},
	}
}

// pod reads "n1 new ready": the node and what is to say of a pod.
func pod(words string) *v1.Pod {
	f := strings.Fields(words)
	p := podFor(set(), f[0], "old")
	p.Name, p.UID = strings.ReplaceAll(words, " ", "-"), types.UID(words)
	p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	p.Spec.NodeName = f[0]
	p.Status.Phase = v1.PodRunning
	for _, w := range f[1:] {
		switch w {
		case "new":
			p.Labels[apps.DefaultDaemonSetUniqueLabelKey] = "new"
			p.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute))
		case "ready":
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))}}
		case "going":
			p.DeletionTimestamp = &metav1.Time{Time: now}
		case "failed":
			p.Status.Phase = v1.PodFailed
		case "unbound":
			p.Spec.NodeName = ""
		}
	}
	return p
}

func stateOf(ds *apps.DaemonSet, nodes []*v1.Node, pods ...string) *snapshot {
	var all []*v1.Pod
	for _, w := range pods {
		all = append(all, pod(w))
	}
	return &snapshot{ds: ds, hash: "new", nodes: nodes, pods: byNode(all), now: now}
}

func show(p podWrites) string {
	var gone []string
	for _, d := range p.delete {
		gone = append(gone, d.Name)
	}
	for _, d := range p.terminal {
		gone = append(gone, "ended:"+d.Name)
	}
	slices.Sort(gone)
	return fmt.Sprint("create ", p.create, " delete ", gone)
}

func TestEligible(t *testing.T) {
	taint := func(key string, e v1.TaintEffect) v1.Taint { return v1.Taint{Key: key, Effect: e} }
	wants := func(f func(*v1.PodSpec)) *apps.DaemonSet {
		return set(func(d *apps.DaemonSet) { f(&d.Spec.Template.Spec) })
	}
	tests := []struct {
		name      string
		ds        *apps.DaemonSet
		node      *v1.Node
		run, stay bool
	}{
		{"any node", set(), node("n1"), true, true},
		{"named", wants(func(s *v1.PodSpec) { s.NodeName = "n2" }), node("n1"), false, false},
		{"selected", wants(func(s *v1.PodSpec) { s.NodeSelector = map[string]string{"disk": "n1"} }), node("n1"), true, true},
		{"not selected", wants(func(s *v1.PodSpec) { s.NodeSelector = map[string]string{"disk": "ssd"} }), node("n1"), false, false},
		{"cordoned", set(), node("n1", taint(v1.TaintNodeUnschedulable, v1.TaintEffectNoSchedule)), true, true},
		{"not ready", set(), node("n1", taint(v1.TaintNodeNotReady, v1.TaintEffectNoExecute)), true, true},
		{"without network", set(), node("n1", taint(v1.TaintNodeNetworkUnavailable, v1.TaintEffectNoSchedule)), false, true},
		{"without network, on the node's own", wants(func(s *v1.PodSpec) { s.HostNetwork = true }), node("n1", taint(v1.TaintNodeNetworkUnavailable, v1.TaintEffectNoSchedule)), true, true},
		{"kept for others", set(), node("n1", taint("team", v1.TaintEffectNoSchedule)), false, true},
		{"others are sent away", set(), node("n1", taint("team", v1.TaintEffectNoExecute)), false, false},
		{"others are welcome if need be", set(), node("n1", taint("team", v1.TaintEffectPreferNoSchedule)), true, true},
		{"borne", wants(func(s *v1.PodSpec) {
			s.Tolerations = []v1.Toleration{{Key: "team", Operator: v1.TolerationOpExists}}
		}), node("n1", taint("team", v1.TaintEffectNoExecute)), true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if run, stay := eligible(tt.ds, tt.node); run != tt.run || stay != tt.stay {
				t.Errorf("run %v, stay %v", run, stay)
			}
		})
	}
}

func TestPodFor(t *testing.T) {
	ds := set(func(d *apps.DaemonSet) {
		d.Annotations = map[string]string{templateGeneration: "4"}
		d.Spec.Template.Spec.Tolerations = []v1.Toleration{{Key: v1.TaintNodeNotReady, Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute}}
	})
	p := podFor(ds, "n1", "h")
	if p.GenerateName != "agent-" || p.Labels["controller-revision-hash"] != "h" || p.Labels["pod-template-generation"] != "4" || p.Labels["app"] != "agent" {
		t.Errorf("%+v", p.ObjectMeta)
	}
	if len(p.Spec.Tolerations) != 6 || nodeOf(p) != "n1" || p.Spec.NodeName != "" {
		t.Errorf("%+v", p.Spec)
	}
	if len(ds.Spec.Template.Spec.Tolerations) != 1 || ds.Spec.Template.Spec.Affinity != nil {
		t.Error("the template was changed")
	}
}

func TestPlace(t *testing.T) {
	two := []*v1.Node{node("n1"), node("n2")}
	kept := node("n2", v1.Taint{Key: "team", Effect: v1.TaintEffectNoSchedule})
	closed := node("n2", v1.Taint{Key: "team", Effect: v1.TaintEffectNoExecute})
	tests := []struct {
		name  string
		nodes []*v1.Node
		pods  []string
		surge bool
		want  string
	}{
		{"nothing yet", two, nil, false, "create [n1 n2] delete []"},
		{"one missing", two, []string{"n1 new"}, false, "create [n2] delete []"},
		{"one not bound yet", two, []string{"n1 new", "n2 new unbound"}, false, "create [] delete []"},
		{"going pods are waited for", two, []string{"n1 new", "n2 new going"}, false, "create [] delete []"},
		{"ended and going is gone", two, []string{"n1 new", "n2 new failed going"}, false, "create [n2] delete []"},
		{"ended", two, []string{"n1 new", "n2 new failed"}, false, "create [] delete [ended:n2-new-failed]"},
		{"too many: the older stays", two, []string{"n1 new", "n2 new", "n2 ready"}, false, "create [] delete [n2-new]"},
		{"kept for others: it stays", []*v1.Node{node("n1"), kept}, []string{"n1 new", "n2 new"}, false, "create [] delete []"},
		{"closed: it goes", []*v1.Node{node("n1"), closed}, []string{"n1 new", "n2 new"}, false, "create [] delete [n2-new]"},
		{"the node went", two[:1], []string{"n1 new", "n2 new unbound", "n2 new"}, false, "create [] delete [n2-new-unbound]"},
		{"surging: both stay", two[:1], []string{"n1 new", "n1 ready"}, true, "create [] delete []"},
		{"surged: the old goes", two[:1], []string{"n1 new ready", "n1 ready"}, true, "create [] delete [n1-ready]"},
		{"surging: a useless old goes", two[:1], []string{"n1 new", "n1"}, true, "create [] delete [n1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ds := set()
			if tt.surge {
				ds = set(rolling("0", "1"))
			}
			if got := show(stateOf(ds, tt.nodes, tt.pods...).place()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	three := []*v1.Node{node("n1"), node("n2"), node("n3")}
	old := []string{"n1 ready", "n2 ready", "n3 ready"}
	tests := []struct {
		name string
		ds   *apps.DaemonSet
		pods []string
		want string
	}{
		{"one by default", set(), old, "create [] delete [n1-ready]"},
		{"half, rounded up", set(rolling("50%", "0")), old, "create [] delete [n1-ready n2-ready]"},
		{"one is under way", set(), []string{"n1 new", "n2 ready", "n3 ready"}, "create [] delete []"},
		{"one is going", set(), []string{"n1 ready going", "n2 ready", "n3 ready"}, "create [] delete []"},
		{"one is missing", set(), old[1:], "create [] delete []"},
		{"next", set(), []string{"n1 new ready", "n2 ready", "n3 ready"}, "create [] delete [n2-ready]"},
		{"what is not available goes at once", set(), []string{"n1 ready", "n2", "n3"}, "create [] delete [n2 n3]"},
		{"done", set(), []string{"n1 new ready", "n2 new ready", "n3 new ready"}, "create [] delete []"},
		{"surge", set(rolling("0", "2")), old, "create [n1 n2] delete []"},
		{"surge under way", set(rolling("0", "1")), append([]string{"n1 new"}, old...), "create [] delete []"},
		{"surge, next", set(rolling("0", "1")), append([]string{"n1 new ready"}, old...), "create [n2] delete [n1-ready]"},
		{"surge beside what is not available", set(rolling("0", "1")), []string{"n1 ready", "n2", "n3"}, "create [n2 n3 n1] delete []"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(stateOf(tt.ds, three, tt.pods...).update()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	nodes := []*v1.Node{node("n1"), node("n2"), node("n3"), node("n4", v1.Taint{Key: "team", Effect: v1.TaintEffectNoSchedule})}
	s := stateOf(set(func(d *apps.DaemonSet) { d.Spec.MinReadySeconds = 30 }), nodes, "n1 new ready", "n2", "n4 new")
	got := s.status(0, 7)
	want := apps.DaemonSetStatus{
		DesiredNumberScheduled: 3, CurrentNumberScheduled: 2, NumberMisscheduled: 1, NumberReady: 1, NumberAvailable: 1,
		NumberUnavailable: 2, UpdatedNumberScheduled: 1, ObservedGeneration: 7,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
