package apiserver_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	authorizationv1beta1 "k8s.io/api/authorization/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
)

// A review is answered, not stored: it has no rows, so a Table of it is refused (406),
// as the conformance suite asks.
func TestReviewsHaveNoTable(t *testing.T) {
	echo := func(_ context.Context, _ *client.User, obj runtime.Object) (runtime.Object, error) { return obj, nil }
	reviews := schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.Virtual = map[schema.GroupVersionResource]apiserver.CreateFunc{reviews: echo}
	})
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`
	for accept, want := range map[string]int{
		"application/json;as=Table;v=v1;g=meta.k8s.io":                  http.StatusNotAcceptable,
		"application/json;as=Table;v=v1;g=meta.k8s.io,application/json": http.StatusCreated,
		"application/json": http.StatusCreated,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, cfg.Host+"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		req.Header.Set("Content-Type", "application/json")
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Accept: %s answers %d, want %d", accept, resp.StatusCode, want)
		}
	}
}

// Reviews in the versions of before 1.22 are answered in these, by who answers today's.
func TestReviewsOfV1beta1(t *testing.T) {
	answer := func(_ context.Context, _ *client.User, obj runtime.Object) (runtime.Object, error) {
		review := obj.DeepCopyObject().(*authorizationv1.SubjectAccessReview)
		review.Status.Reason = strings.Join(review.Spec.Groups, " ")
		return review, nil
	}
	reviews := schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"}
	r := newRaw(t, apitest.Start(t, func(c *apiserver.Config) {
		c.Virtual = map[schema.GroupVersionResource]apiserver.CreateFunc{reviews: answer}
	}))
	const path, review = "/apis/authorization.k8s.io/v1beta1/subjectaccessreviews", `{"apiVersion":"authorization.k8s.io/v1beta1","kind":"SubjectAccessReview","spec":{"user":"jane","group":["a","b"],"resourceAttributes":{"verb":"get","resource":"pods"}}}`
	resp, body := r.do("POST", path, asJSON, review)
	got := into[authorizationv1beta1.SubjectAccessReview](t, resp, body, http.StatusCreated)
	if got.APIVersion != "authorization.k8s.io/v1beta1" || got.Status.Reason != "a b" || len(got.Spec.Groups) != 2 {
		t.Errorf("the answer is %s", body)
	}
	if warning := resp.Header.Get("Warning"); !strings.Contains(warning, "use authorization.k8s.io/v1 SubjectAccessReview") {
		t.Errorf("the warning is %q", warning)
	}
	resp, body = r.do("POST", path, asJSON, strings.Replace(review, `"user":"jane","group":["a","b"],`, "", 1))
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "at least one of user or group must be specified") {
		t.Errorf("a review of nobody: %d %s", resp.StatusCode, body)
	}
}

// kubectl lists the definitions when it meets an unknown kind of a known group.
func TestNoCustomResourceDefinitions(t *testing.T) {
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	list, err := dynamic.NewForConfigOrDie(apitest.Start(t)).Resource(crds).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Fatalf("got %v, %v; want an empty list", list, err)
	}
}
