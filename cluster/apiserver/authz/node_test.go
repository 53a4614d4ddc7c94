package authz_test

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/client"
)

// A kubelet reads its own Node and the pods bound to it, as a request names or selects them.
func TestNodeReadsItsOwn(t *testing.T) {
	o := authztest.New()
	o.Put("", "pods", nodePod(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "else"}, Spec: corev1.PodSpec{NodeName: "n2"}})
	a := start(t, o)
	const (
		noNodes   = "node 'n1' cannot read all nodes, only its own Node object"
		unrelated = "no relationship found between node 'n1' and this object"
		noPods    = "can only list/watch pods with spec.nodeName field selector"
	)
	node := &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}
	for _, c := range []struct {
		what, selector string
		allow          bool
		reason         string
	}{
		{"get /nodes - n1", "", true, ""},
		{"list /nodes - n1", "metadata.name=n1", true, ""},
		{"watch /nodes - n1", "metadata.name=n1", true, ""},
		{"get /nodes - n2", "", false, "node 'n1' cannot read 'n2', only its own Node object"},
		{"list /nodes - -", "", false, noNodes},
		{"watch /nodes - -", "", false, noNodes},
		{"delete /nodes - n1", "", false, ""},
		{"update /nodes - n1", "", true, ""},
		{"create /nodes - -", "", true, ""},
		{"get /nodes/proxy - n1", "", false, ""},
		{"get /pods a " + nodePod().Name, "", true, ""},
		{"get /pods a else", "", false, unrelated},
		{"get /pods a gone", "", false, unrelated},
		{"list /pods - -", "spec.nodeName=n1", true, ""},
		{"watch /pods - -", "status.phase!=Failed,spec.nodeName=n1", true, ""},
		{"list /pods - -", "spec.nodeName=n2", false, noPods},
		{"list /pods - -", "spec.nodeName!=n1", false, noPods},
		{"list /pods a -", "", false, noPods},
		{"watch /pods a else", "metadata.name=else", false, unrelated},
		{"watch /pods a " + nodePod().Name, "metadata.name=" + nodePod().Name, true, ""},
		{"deletecollection /pods a -", "spec.nodeName=n1", false, ""},
		{"get /pods/log a " + nodePod().Name, "", false, ""},
		{"create /pods a -", "", true, ""},
		{"delete /pods a p", "", true, ""},
		{"get /endpoints a -", "", true, ""},
		{"list discovery.k8s.io/endpointslices - -", "", false, ""},
		{"list /services - -", "", true, ""},
	} {
		at := attributes(c.what)
		at.User = node
		s, err := fields.ParseSelector(c.selector)
		if err != nil {
			t.Fatal(err)
		}
		at.FieldSelector = s.Requirements()
		allowed, reason, err := a.Authorize(t.Context(), at)
		if err != nil || allowed != c.allow || reason != c.reason {
			t.Errorf("%s with %q: %v, %q, %v; want %v, %q", c.what, c.selector, allowed, reason, err, c.allow, c.reason)
		}
	}
	review := a.Reviews()[authorizationv1.SchemeGroupVersion.WithResource("subjectaccessreviews")]
	for _, c := range []struct {
		selector *authorizationv1.FieldSelectorAttributes
		allow    bool
	}{
		{nil, false},
		{&authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName=n1"}, true},
		{&authorizationv1.FieldSelectorAttributes{RawSelector: "spec.nodeName=n2"}, false},
		{&authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{{Key: "spec.nodeName", Operator: metav1.FieldSelectorOpIn, Values: []string{"n1"}}}}, true},
		{&authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{{Key: "spec.nodeName", Operator: metav1.FieldSelectorOpNotIn, Values: []string{"n1"}}}}, false},
	} {
		out, err := review(t.Context(), node, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: node.Name, Groups: node.Groups,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods", FieldSelector: c.selector},
		}})
		if err != nil || out.(*authorizationv1.SubjectAccessReview).Status.Allowed != c.allow {
			t.Errorf("review of %v: %v, %v", c.selector, out, err)
		}
	}
}
