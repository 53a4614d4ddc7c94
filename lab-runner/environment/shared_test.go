package environment

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/script"
)

// What was in the namespace before stays, with what it owns; what the lab made goes, and what that owned is waited for.
func TestWhatIsLeftOfALab(t *testing.T) {
	owned := func(kind string, uid types.UID) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, UID: uid}}
	}
	all := []object{
		{"p", "deployments/theirs", "1", nil},
		{"p", "replicasets/theirs-x", "2", owned("Deployment", "1")},
		{"p", "pods/theirs-x-y", "3", owned("ReplicaSet", "2")},
		{"p", "secrets/operator", "4", owned("Widget", "77")}, // its owner is of a kind that is not looked at
		{"p", "deployments/lab", "5", nil},
		{"p", "pods/lab-x-y", "6", owned("ReplicaSet", "78")},
	}
	remove, going := left(all, []string{"deployments/theirs"})
	if len(remove) != 1 || remove[0].id != "deployments/lab" || going != 1 {
		t.Errorf("%v are removed, and %d are waited for", remove, going)
	}
	if remove, going := left(all[:4], []string{"deployments/theirs"}); len(remove)+going > 0 {
		t.Errorf("%v are removed, and %d are waited for", remove, going)
	}
}

// A lab that needs more than one namespace says so in a sentence.
func TestWhatOneNamespaceDoesNotGive(t *testing.T) {
	c := &Cluster{only: "team"}
	for _, x := range []struct {
		lab     catalog.Lab
		env     string
		refused bool
	}{
		{catalog.Lab{}, "NODE_IP=", false},
		{catalog.Lab{Requires: []string{"cluster-admin"}}, "NODE_IP=", true},
		{catalog.Lab{Requires: []string{"node-shell"}}, "NODE_IP=", true},
		{catalog.Lab{Requires: []string{"many-nodes", "docker"}}, "NODE_IP=", false},
		{catalog.Lab{Text: []script.Item{{Text: "curl http://${NODE_IP}:80/"}}}, "NODE_IP=", true},
		{catalog.Lab{Text: []script.Item{{Text: "curl http://$NODE_IP:80/"}}}, "NODE_IP=10.0.0.1", false},
		{catalog.Lab{Text: []script.Item{{Text: "echo $NODES"}}}, "NODE_IP=", false},
		{catalog.Lab{Scenarios: []catalog.Scenario{{Steps: []catalog.Sentence{{Text: "`kubectl describe node $NODE` prints \"x\""}}}}}, "NODE_IP=", true},
	} {
		if err := c.more(t.Context(), &x.lab, []string{x.env}); (err != nil) != x.refused {
			t.Errorf("%+v with %s: %v", x.lab, x.env, err)
		}
	}
}
