package environment

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/catalog"
)

// A namespace that is removed, or of a lab of the same name elsewhere, is not one that a lab goes on with.
func TestNamespacesThatAreKept(t *testing.T) {
	now := metav1.Now()
	for name, x := range map[string]struct {
		ns   metav1.ObjectMeta
		want bool
	}{
		"its own":           {metav1.ObjectMeta{}, true},
		"being removed":     {metav1.ObjectMeta{DeletionTimestamp: &now}, false},
		"of another's labs": {metav1.ObjectMeta{Annotations: map[string]string{treeKey: "/other"}}, false},
	} {
		if got := kept(&corev1.Namespace{ObjectMeta: x.ns}, &catalog.Lab{}); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

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
