package environment

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// $NODE is the same in each shell and for each check, while a step has it cordoned too.
func TestTheNodeOfALabStaysTheSame(t *testing.T) {
	node := func(name string, cordoned bool, ready corev1.ConditionStatus) corev1.Node {
		return corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Unschedulable: cordoned},
			Status: corev1.NodeStatus{
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
				Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "ip-" + name}},
			},
		}
	}
	dir := t.TempDir()
	for _, c := range []struct {
		what  string
		nodes []corev1.Node
		want  string // empty: an error
	}{
		{"no node is ready", []corev1.Node{node("a", false, "False")}, ""},
		{"the first that is ready and open", []corev1.Node{node("a", true, "True"), node("b", false, "True"), node("c", false, "True")}, "b"},
		{"it is drained", []corev1.Node{node("a", false, "True"), node("b", true, "True"), node("c", false, "True")}, "b"},
		{"it is lost", []corev1.Node{node("b", false, "Unknown"), node("c", false, "True")}, "c"},
		{"it is back, and another was chosen", []corev1.Node{node("b", false, "True"), node("c", false, "True")}, "c"},
	} {
		name, address, err := chosenNode(c.nodes, dir)
		if name != c.want || (err == nil) != (c.want != "") || err == nil && address != "ip-"+c.want {
			t.Errorf("%s: %q, %q, %v", c.what, name, address, err)
		}
	}
}
