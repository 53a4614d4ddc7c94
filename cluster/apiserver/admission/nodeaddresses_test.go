package admission

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
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

// A node has no other node's key, by which it would take that one's peers; and what is no key is refused.
func TestKeysOfNodes(t *testing.T) {
	node := func(name, key string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{wireGuardKey: key}}}
	}
	first, second := strings.Repeat("A", 42)+"E=", strings.Repeat("B", 42)+"A="
	o := authztest.New()
	o.Put("", "nodes", node("n1", first), node("n2", ""))
	p := &NodeAddresses{objects: o, reserved: &pki.Reserved{}}
	for name, c := range map[string]struct {
		key, old, want string
		groups         []string
	}{
		"a new one":                 {key: second},
		"another node's":            {key: first, want: `the key is node "n1"'s`},
		"another node's, by status": {key: first, want: `the key is node "n1"'s`},
		"another spelling":          {key: strings.Repeat("A", 42) + "F=", want: "is not a key"},
		"with a line's end":         {key: first + "\n", want: "is not a key"},
		"short":                     {key: "QUJD", want: "is not a key"},
		"no base64":                 {key: strings.Repeat("-", 44), want: "is not a key"},
		"removed":                   {old: second},
		"as it was":                 {key: first, old: first},
		"by an administrator":       {key: first, groups: []string{"system:masters"}},
	} {
		r := &Request{
			Verb: Update, Kind: &api.Kind{Plural: "nodes", GroupVersionKind: api.GVK("", "v1", "Node")}, Name: "n2", Object: node("n2", c.key), Old: node("n2", c.old),
			User: &client.User{Name: "system:node:n2", Groups: append(c.groups, "system:nodes")},
		}
		if strings.HasSuffix(name, "by status") {
			r.Subresource = "status"
		}
		err := p.Admit(context.Background(), r)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
