package admission

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/pki"
)

// A name of the API server is refused to nodes; what is no name at all is left to validation, which says what is wrong with it.
func TestNamesOfNodes(t *testing.T) {
	p := &NodeAddresses{reserved: &pki.Reserved{Names: pki.ServerNames("cluster.local"), Pods: netip.MustParsePrefix("10.246.0.0/16")}}
	for name, want := range map[string]string{"n1": "", "NODE-A": "", "a_b": "", "kubernetes.default": "is reserved", "x.kubernetes": "is reserved"} {
		r := &Request{Verb: Create, Kind: &api.Kind{Plural: "nodes", GroupVersionKind: api.GVK("", "v1", "Node")}, Name: name, Object: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}}
		err := p.Admit(context.Background(), r)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
