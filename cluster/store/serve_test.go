package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

type jsonCodec struct{}

func (jsonCodec) Encode(obj api.Object) ([]byte, error) { return json.Marshal(obj) }

func (jsonCodec) Decode(data []byte, into api.Object) ([]error, error) {
	return nil, json.Unmarshal(data, &into.(*unstructured.Unstructured).Object)
}

func customKind(group, plural string) *api.Kind {
	gvk := schema.GroupVersionKind{Group: group, Version: "v1", Kind: "Widget"}
	return &api.Kind{
		GroupVersionKind: gvk, Plural: plural, Namespaced: true, Custom: true, Codec: jsonCodec{},
		New: func() api.Object {
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(gvk)
			return u
		},
		NewList: func() runtime.Object { return &unstructured.UnstructuredList{} },
	}
}

func widget(k *api.Kind, name string) api.Object {
	w := k.New()
	w.SetNamespace("default")
	w.SetName(name)
	return w
}

// A kind that is added while others are written to has every object, those from before
// and those that are written meanwhile, and watches of other kinds go on unchanged.
func TestServeAndRetire(t *testing.T) {
	s := newStore(t)
	k := customKind("example.com", "widgets")
	put := func(prefix string, n int) {
		for i := range n {
			raw := fmt.Sprintf(`{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"namespace":"default","name":"%s-%03d"}}`, prefix, i)
			if _, err := s.Client.Put(t.Context(), fmt.Sprintf("/registry/example.com/widgets/default/%s-%03d", prefix, i), raw); err != nil {
				t.Error(err)
			}
		}
	}
	put("before", 100)
	pw, err := s.Of(pods).Watch(t.Context(), "", WatchOptions{ResourceVersion: strconv.FormatInt(s.Revision(), 10)})
	if err != nil {
		t.Fatal(err)
	}
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() { put("meanwhile", 100) })
	meanwhile.Go(func() {
		for i := range 50 {
			if _, err := s.Of(pods).Create(t.Context(), pod("default", fmt.Sprintf("p-%d", i))); err != nil {
				t.Error(err)
			}
		}
	})
	c, err := s.Serve(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	meanwhile.Wait()
	if s.Of(k) != c {
		t.Error("Of does not find the collection")
	}
	item, err := c.Create(t.Context(), widget(k, "own"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := item.Encoded(Protobuf); err == nil {
		t.Error("protobuf of an object that has none")
	}
	page, err := c.List(t.Context(), "", ListOptions{})
	if err != nil || len(page.Items) != 201 {
		t.Fatalf("%d objects (%v), want 201", len(page.Items), err)
	}
	seen := map[string]bool{}
	for len(seen) < 50 {
		e := <-pw.Events()
		if e == nil || e.Type != watch.Added || seen[e.Item.Object().GetName()] {
			t.Fatalf("the watch on pods got %+v", e)
		}
		seen[e.Item.Object().GetName()] = true
	}

	w, err := c.Watch(t.Context(), "", WatchOptions{ResourceVersion: strconv.FormatInt(page.Revision, 10)})
	if err != nil {
		t.Fatal(err)
	}
	s.Retire(k)
	for range w.Events() {
	}
	if !apierrors.IsResourceExpired(w.Err()) {
		t.Errorf("the watch ended with %v", w.Err())
	}
	if _, err := c.Watch(t.Context(), "", WatchOptions{}); !apierrors.IsResourceExpired(err) {
		t.Errorf("another watch: %v", err)
	}
	if s.Of(k) != nil {
		t.Error("still served")
	}
	if pw.Err() != nil {
		t.Error(pw.Err())
	}
	if _, err := s.Of(pods).Create(t.Context(), pod("default", "last")); err != nil {
		t.Error(err)
	}
	if e := <-pw.Events(); e == nil || e.Item.Object().GetName() != "last" {
		t.Errorf("the watch on pods got %+v", e)
	}

	// What is in etcd is there again.
	again, err := s.Serve(t.Context(), k)
	if err != nil || again.Len() != 201 {
		t.Errorf("served again: %v", err)
	}
}

func TestServeRefusesSharedKeys(t *testing.T) {
	s := newStore(t)
	for _, k := range []*api.Kind{customKind("pods", "widgets"), {GroupVersionKind: pods.GroupVersionKind, Plural: "pods", New: pods.New}} {
		if _, err := s.Serve(t.Context(), k); err == nil {
			t.Errorf("%s/%s shares the keys of pods", k.Group, k.Plural)
		}
	}
	if c, err := s.Serve(t.Context(), customKind("other.example.com", "pods")); err != nil || c.prefix != "/registry/other.example.com/pods/" {
		t.Errorf("another group's pods: %v", err)
	}
	if key, ok := s.Of(pods).key("default", "p"); !ok || key != "/registry/pods/default/p" {
		t.Errorf("a pod has the key %s", key)
	}
}

func TestServeEndsWithTheStore(t *testing.T) {
	s, stop := open(t, embedded(t, t.TempDir()), true)
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Serve(ctx, customKind("example.com", "widgets")); err == nil || ctx.Err() != nil {
		t.Errorf("after the end: %v", err)
	}
}
