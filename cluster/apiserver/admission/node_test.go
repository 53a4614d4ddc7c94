package admission_test

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/client"
)

func TestNodeRestriction(t *testing.T) {
	o := cluster()
	own := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "own", UID: "1"}, Spec: corev1.PodSpec{NodeName: "n1"}}
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "other", UID: "2"}, Spec: corev1.PodSpec{NodeName: "n2"}}
	o.Put("", "pods", own, other)
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "kube-node-lease")})
	c := newChain(t, o, admission.ServicesConfig{})
	mirror := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "m", Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"}}, Spec: corev1.PodSpec{NodeName: "n1"}}
	token := func(pod *corev1.Pod) runtime.Object {
		r := &authenticationv1.TokenRequest{}
		if pod != nil {
			r.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
		}
		return r
	}
	node := func(name string, change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
		if change != nil {
			change(n)
		}
		return n
	}
	relabelled := own.DeepCopy()
	relabelled.Labels = map[string]string{"app": "x"}
	label := func(key string) func(*corev1.Node) { return func(n *corev1.Node) { n.Labels[key] = "" } }
	taint := func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: "NoSchedule"}} }

	cases := []struct {
		name, verb, group, plural, sub, object string
		obj, old                               runtime.Object
		want                                   string
	}{
		{"mirror pod", "create", "", "pods", "", "m", mirror.DeepCopy(), nil, ""},
		{"pod", "create", "", "pods", "", "own", own.DeepCopy(), nil, `pods "own" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods`},
		{"delete own", "delete", "", "pods", "", "own", nil, own, ""},
		{"delete another's", "delete", "", "pods", "", "other", nil, nil, `pods "other" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself`},
		{"status of own", "update", "", "pods", "status", "own", own.DeepCopy(), own, ""},
		{"labels by status", "update", "", "pods", "status", "own", relabelled, own, `pods "own" is forbidden: node "n1" cannot update labels through pod status`},
		{"status of another's", "update", "", "pods", "status", "other", other.DeepCopy(), other, `pods "other" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself`},
		{"evict another's", "create", "", "pods", "eviction", "other", &policyv1.Eviction{}, nil, `pods "other" is forbidden: node "n1" can only evict pods with spec.nodeName set to itself`},
		{"change a pod", "update", "", "pods", "", "own", own.DeepCopy(), own, `pods "own" is forbidden: unexpected operation "update", node "n1" can only create and delete mirror pods`},
		{"register", "create", "", "nodes", "", "n1", node("n1", taint), nil, ""},
		{"register another", "create", "", "nodes", "", "n2", node("n2", nil), nil, `nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"`},
		{"register as master", "create", "", "nodes", "", "n1", node("n1", label("node-role.kubernetes.io/master")), nil, `nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-role.kubernetes.io/master`},
		{"own label", "update", "", "nodes", "", "n1", node("n1", label("example.com/disk")), node("n1", nil), ""},
		{"node label", "update", "", "nodes", "", "n1", node("n1", label("node.kubernetes.io/x")), node("n1", nil), ""},
		{"reserved label", "update", "", "nodes", "", "n1", node("n1", label("node-restriction.kubernetes.io/x")), node("n1", nil), `nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x`},
		{"taint", "update", "", "nodes", "", "n1", node("n1", taint), node("n1", nil), `nodes "n1" is forbidden: node "n1" is not allowed to modify taints`},
		{"status of another node", "update", "", "nodes", "status", "n2", node("n2", nil), node("n2", nil), `nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"`},
		{"token for own pod", "create", "", "serviceaccounts", "token", "default", token(own), nil, ""},
		{"token for another's pod", "create", "", "serviceaccounts", "token", "default", token(other), nil, `serviceaccounts "default" is forbidden: node requested token bound to a pod scheduled on a different node`},
		{"token for nobody", "create", "", "serviceaccounts", "token", "default", token(nil), nil, `serviceaccounts "default" is forbidden: node requested token not bound to a pod`},
		{"lease", "create", coordinationv1.GroupName, "leases", "", "n1", &coordinationv1.Lease{ObjectMeta: meta("kube-node-lease", "n1")}, nil, ""},
		{"another's lease", "create", coordinationv1.GroupName, "leases", "", "n2", &coordinationv1.Lease{ObjectMeta: meta("kube-node-lease", "n2")}, nil, `leases.coordination.k8s.io "n2" is forbidden: can only access node lease with the same name as the requesting node`},
		{"events", "create", "", "events", "", "e", &corev1.Event{}, nil, ""},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			ns := "a"
			if x.plural == "leases" {
				ns = "kube-node-lease"
			} else if x.plural == "nodes" {
				ns = ""
			}
			r := &admission.Request{
				User: &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}, Verb: x.verb,
				Kind: kind(x.group, x.plural), Namespace: ns, Name: x.object, Subresource: x.sub, Object: x.obj, Old: x.old,
			}
			want(t, c.Admit(bg, r), x.want)
			if x.sub == "" && x.plural == "pods" && x.verb == "create" {
				return // as somebody else it would need an account
			}
			r.User = &client.User{Name: "admin"}
			want(t, c.Admit(bg, r), "")
		})
	}
}
