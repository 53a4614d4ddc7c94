package apiserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/api/custom"
	"wheelhouse/cluster/apiserver/apitest"
)

func gadgets() *api.Kind {
	return custom.Kind(&api.Kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Gadget"},
		Plural:           "gadgets", Singular: "gadget", Namespaced: true,
	})
}

// TestSetTableUnderLoad: requests under way, and watches of other kinds, go on unchanged when
// the table of kinds is replaced.
func TestSetTableUnderLoad(t *testing.T) {
	server, cfg := apitest.StartServer(t)
	set := kubernetes.NewForConfigOrDie(cfg)
	with, err := builtin.Table().With(gadgets())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetTable(t.Context(), with); err != nil {
		t.Fatal(err)
	}

	// A write of a kind that is left out while its body is sent.
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cfg.CAData)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(cfg.Host, "https://"), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const body = `{"apiVersion":"example.com/v1","kind":"Gadget","metadata":{"name":"late"}}`
	fmt.Fprintf(conn, "POST /apis/example.com/v1/namespaces/default/gadgets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // it is under way
		t.Fatalf("%s (%v)", line, err)
	}

	w, err := set.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	const writers, each = 4, 60
	var writing sync.WaitGroup
	for n := range writers {
		writing.Go(func() {
			for i := range each {
				name := fmt.Sprintf("c-%d-%d", n, i)
				c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
				if _, err := set.CoreV1().ConfigMaps("default").Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
					t.Errorf("create: %v", err)
				}
				if _, err := set.CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
					t.Errorf("get: %v", err)
				}
				if l, err := set.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) < i {
					t.Errorf("list: %v", err)
				}
			}
		})
	}
	swapping, swapped := context.WithCancel(t.Context())
	swaps := make(chan int, 1)
	go func() {
		n := 0
		for ; swapping.Err() == nil; n++ {
			for _, table := range []*api.Table{builtin.Table(), with} {
				if err := server.SetTable(t.Context(), table); err != nil {
					t.Errorf("swap: %v", err)
				}
			}
		}
		swaps <- n
	}()
	seen := map[string]bool{}
	for len(seen) < writers*each {
		e, ok := <-w.ResultChan()
		if !ok || e.Type != watch.Added {
			t.Fatalf("after %d events the watch got %+v", len(seen), e)
		}
		name := e.Object.(*corev1.ConfigMap).Name
		if seen[name] {
			t.Fatalf("%s came twice", name)
		}
		seen[name] = true
	}
	writing.Wait()
	swapped()
	if n := <-swaps; n < 3 {
		t.Errorf("the table was replaced %d times only", n)
	}

	// The kind is left out, and the request that began with it ends as if it were not.
	if err := server.SetTable(t.Context(), builtin.Table()); err != nil {
		t.Fatal(err)
	}
	if _, err := answers.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated || !strings.Contains(string(text), `"name":"late"`) {
		t.Errorf("the request under way: %d %s (%v)", resp.StatusCode, text, err)
	}
	status := func(path string) int {
		t.Helper()
		var code int
		set.RESTClient().Get().AbsPath("/apis/example.com/v1/namespaces/default/gadgets" + path).Do(t.Context()).StatusCode(&code)
		return code
	}
	if code := status(""); code != http.StatusNotFound {
		t.Errorf("a new request: %d", code)
	}
	if err := server.SetTable(t.Context(), with); err != nil {
		t.Fatal(err)
	}
	if code := status("/late"); code != http.StatusOK {
		t.Errorf("what was written by then: %d", code)
	}
}

// upper converts a field of its objects, counts its calls, and fails on demand.
type upper struct {
	calls  atomic.Int32
	failed atomic.Bool
}

func (u *upper) Convert(_ context.Context, to string, in []api.Object) ([]api.Object, error) {
	u.calls.Add(1)
	if u.failed.Load() {
		return nil, errors.New("the converter does not answer")
	}
	from, into := "size", "length"
	if to == "example.com/v1" {
		from, into = into, from
	}
	out := make([]api.Object, len(in))
	for i, obj := range in {
		next := obj.DeepCopyObject().(*unstructured.Unstructured)
		spec := next.Object["spec"].(map[string]any)
		spec[into] = spec[from]
		delete(spec, from)
		out[i] = next
	}
	return out, nil
}

// TestVersionsOfACustomKind: objects are read, written, listed, watched and applied in a
// version that a converter makes, which may fail.
func TestVersionsOfACustomKind(t *testing.T) {
	server, cfg := apitest.StartServer(t)
	k := gadgets()
	old := schema.GroupVersion{Group: "example.com", Version: "v1beta1"}
	v := api.Version{GroupVersion: old, Converter: &upper{}}
	converter := v.Converter.(*upper)
	v.New, v.NewList, v.Codec = custom.Shape(old.WithKind("Gadget"), nil)
	k.Versions = []api.Version{v}
	table, err := builtin.Table().With(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SetTable(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	dyn := dynamic.NewForConfigOrDie(cfg)
	beta := dyn.Resource(old.WithResource("gadgets")).Namespace("default")
	stored := dyn.Resource(k.GroupVersion().WithResource("gadgets")).Namespace("default")
	w, err := beta.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	gadget := func(name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": old.String(), "kind": "Gadget", "metadata": map[string]any{"name": name}, "spec": map[string]any{"length": int64(3)},
		}}
	}
	for i := range 5 {
		if _, err := beta.Create(t.Context(), gadget(fmt.Sprint("g", i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	length := func(o *unstructured.Unstructured, field string) any {
		n, _, _ := unstructured.NestedInt64(o.Object, "spec", field)
		return n
	}
	if o, err := stored.Get(t.Context(), "g0", metav1.GetOptions{}); err != nil || length(o, "size") != int64(3) {
		t.Errorf("as stored: %v (%v)", o, err)
	}
	if e := <-w.ResultChan(); e.Type != watch.Added || length(e.Object.(*unstructured.Unstructured), "length") != int64(3) {
		t.Errorf("the watch: %+v", e)
	}
	before := converter.calls.Load()
	l, err := beta.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(l.Items) != 5 || length(&l.Items[4], "length") != int64(3) {
		t.Errorf("list: %v (%v)", l, err)
	}
	if n := converter.calls.Load() - before; n != 1 {
		t.Errorf("a list of five was converted in %d calls", n)
	}
	applied := gadget("g0")
	applied.Object["spec"] = map[string]any{"length": int64(4)}
	if o, err := beta.Apply(t.Context(), "g0", applied, metav1.ApplyOptions{FieldManager: "m", Force: true}); err != nil || length(o, "length") != int64(4) {
		t.Errorf("apply: %v (%v)", o, err)
	}
	converter.failed.Store(true)
	if _, err := beta.List(t.Context(), metav1.ListOptions{}); err == nil || !strings.Contains(err.Error(), "the converter does not answer") {
		t.Errorf("a list that cannot be converted: %v", err)
	}
	if l, err := stored.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 5 {
		t.Errorf("the stored version: %v", err)
	}
}
