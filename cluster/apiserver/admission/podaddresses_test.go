package admission_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/client"
)

func TestAddressesOfPodsAndNodes(t *testing.T) {
	o := cluster()
	node := func(name, ip string, cidrs ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: cidrs}}
		if ip != "" {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}, {Type: corev1.NodeHostName, Address: name}}
		}
		return n
	}
	o.Put("", "nodes", node("n1", "10.245.1.3", "10.246.1.0/24"), node("n2", "10.245.1.4", "10.246.2.0/24"), node("new", ""))
	c := newChain(t, o, serviceallocator.Config{})
	pod := func(node string, host bool, ip, hostIP string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{NodeName: node, HostNetwork: host}}
		if ip != "" {
			p.Status.PodIP, p.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
		}
		if hostIP != "" {
			p.Status.HostIP, p.Status.HostIPs = hostIP, []corev1.HostIP{{IP: hostIP}}
		}
		return p
	}
	second := pod("n1", false, "10.246.1.7", "10.245.1.3")
	second.Status.PodIPs = append(second.Status.PodIPs, corev1.PodIP{IP: "10.245.1.2"})
	cases := []struct {
		name, plural, sub string
		obj, old          runtime.Object
		want              string
	}{
		{"own", "pods", "status", pod("n1", false, "10.246.1.7", "10.245.1.3"), pod("n1", false, "", ""), ""},
		{"another node's pod", "pods", "status", pod("n1", false, "10.246.2.7", "10.245.1.3"), pod("n1", false, "", ""), `pods "p" is forbidden: podIP 10.246.2.7 is not an address that a pod on node "n1" can have`},
		{"the API server", "pods", "status", pod("n1", false, "10.245.1.2", ""), pod("n1", false, "", ""), `pods "p" is forbidden: podIP 10.245.1.2 is not an address that a pod on node "n1" can have`},
		{"loopback", "pods", "status", pod("n1", true, "127.0.0.1", ""), pod("n1", true, "", ""), `pods "p" is forbidden: podIP 127.0.0.1 is not an address that a pod on node "n1" can have`},
		{"a second one", "pods", "status", second, pod("n1", false, "", ""), `pods "p" is forbidden: podIP 10.245.1.2 is not an address that a pod on node "n1" can have`},
		{"host network", "pods", "status", pod("n1", true, "10.245.1.3", "10.245.1.3"), pod("n1", true, "", ""), ""},
		{"host network of a pod that has its own", "pods", "status", pod("n1", false, "10.245.1.3", ""), pod("n1", false, "", ""), `pods "p" is forbidden: podIP 10.245.1.3 is not an address that a pod on node "n1" can have`},
		{"hostIP of another", "pods", "status", pod("n1", false, "", "10.245.1.4"), pod("n1", false, "", ""), `pods "p" is forbidden: hostIP 10.245.1.4 is not an address of node "n1"`},
		{"a node that has not said its address", "pods", "status", pod("new", true, "10.245.1.5", "10.245.1.5"), pod("new", true, "", ""), ""},
		{"no node", "pods", "status", pod("", false, "10.246.1.7", ""), pod("", false, "", ""), `pods "p" is forbidden: podIP 10.246.1.7 is not an address that a pod on node "" can have`},
		{"as it was", "pods", "status", pod("n1", false, "10.9.9.9", ""), pod("n1", false, "10.9.9.9", ""), ""},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			r := &admission.Request{
				User: &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}, Verb: "create",
				Kind: kind("", x.plural), Namespace: "a", Name: "p", Subresource: x.sub, Object: x.obj, Old: x.old,
			}
			if x.old != nil {
				r.Verb = "update"
			}
			want(t, validated(t.Context(), c, r), x.want)
			if x.sub == "status" { // of a person who may write the status of pods
				r.User = &client.User{Name: "somebody"}
				want(t, validated(t.Context(), c, r), x.want)
			}
			r.User = &client.User{Name: "admin", Groups: []string{"system:masters"}}
			want(t, validated(t.Context(), c, r), "")
		})
	}
}

func validated(ctx context.Context, c *admission.Chain, r *admission.Request) error {
	err := c.Validate(ctx, r)
	c.Done(ctx, r, err)
	return err
}
