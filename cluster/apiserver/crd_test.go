package apiserver_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"wheelhouse/cluster/apiserver/apitest"
)

// kubectl lists the definitions when it meets an unknown kind of a known group.
func TestNoCustomResourceDefinitions(t *testing.T) {
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	list, err := dynamic.NewForConfigOrDie(apitest.Start(t)).Resource(crds).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Fatalf("got %v, %v; want an empty list", list, err)
	}
}
