package objects

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// The requests are those of the API, and its errors are recognized.
func TestRequests(t *testing.T) {
	pod := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns"}}
	answers := map[string]any{
		"GET /api/v1/namespaces/ns/pods/web":                  pod,
		"GET /api/v1/namespaces/ns/pods?labelSelector=app%3D": corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: []corev1.Pod{pod}},
		"GET /apis/any.group/v1/things?watch=true":            "an event",
		"POST /api/v1/namespaces":                             corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}},
		"POST /apis/any.group/v1/things":                      map[string]string{"answer": "made"},
		"PATCH /apis/any.group/v1/things/a":                   map[string]string{},
		"DELETE /apis/any.group/v1/things/a":                  metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess},
		"DELETE /api/v1/namespaces/ns":                        metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess},
	}
	var created corev1.Namespace
	sent := map[string]string{} // by method, of any group
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.Method+" "+r.URL.RequestURI()]
		if !ok {
			answer = apierrors.NewNotFound(corev1.Resource("pods"), r.URL.Path).Status()
			w.WriteHeader(http.StatusNotFound)
		}
		if strings.HasPrefix(r.URL.Path, "/apis/") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			sent[r.Method] = r.Header.Get("Content-Type") + " " + string(body)
		} else if r.Method == http.MethodPost {
			if err := json.NewDecoder(r.Body).Decode(&created); err != nil {
				t.Error(err)
			}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var got corev1.Pod
	if err := c.Get(ctx, "pods", "ns", "web", &got); err != nil || got.Name != "web" {
		t.Errorf("get: %v, %v", got.Name, err)
	}
	var list corev1.PodList
	if err := c.List(ctx, "pods", "ns", metav1.ListOptions{LabelSelector: "app="}, &list); err != nil || len(list.Items) != 1 {
		t.Errorf("list: %d, %v", len(list.Items), err)
	}
	if err := c.Create(ctx, "namespaces", "", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}); err != nil || created.Name != "ns" || created.Kind != "Namespace" {
		t.Errorf("create: %+v, %v", created, err)
	}
	if text, err := c.Read(ctx, "/api/v1/namespaces/ns/pods/web", nil, "", 1<<20); err != nil || !json.Valid(text) {
		t.Errorf("read: %s, %v", text, err)
	}
	if _, err := c.Read(ctx, "/api/v1/namespaces/ns/pods/web", nil, "", 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an answer beyond the limit: %v", err)
	}
	if _, err := c.Read(ctx, "/api/v1/namespaces/ns/pods/gone", nil, "", 10); !apierrors.IsNotFound(err) {
		t.Errorf("read of what there is not: %v", err)
	}
	if err := c.Delete(ctx, "namespaces", "", "ns"); err != nil {
		t.Errorf("delete: %v", err)
	}
	var answer struct{ Answer string }
	thing := map[string]string{"kind": "Thing"}
	if err := errors.Join(c.Post(ctx, "/apis/any.group/v1/things", thing, &answer), c.Merge(ctx, "/apis/any.group/v1/things/a", thing), c.Remove(ctx, "/apis/any.group/v1/things/a")); err != nil || answer.Answer != "made" {
		t.Errorf("any group: %v, %v", answer, err)
	}
	for method, want := range map[string]string{"POST": `application/json {"kind":"Thing"}`, "PATCH": `application/merge-patch+json {"kind":"Thing"}`, "DELETE": `"propagationPolicy":"Background"`} {
		if !strings.Contains(sent[method], want) {
			t.Errorf("%s sends %s, want %s", method, sent[method], want)
		}
	}
	if err := c.Post(ctx, "/apis/any.group/v1/others", thing, nil); !apierrors.IsNotFound(err) {
		t.Errorf("post to what there is not: %v", err)
	}
	stream, err := c.Open(ctx, "/apis/any.group/v1/things", url.Values{"watch": {"true"}})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if text, err := io.ReadAll(stream); err != nil || string(text) != "\"an event\"\n" {
		t.Errorf("open: %q, %v", text, err)
	}
	if _, err := c.Open(ctx, "/apis/any.group/v1/others", nil); !apierrors.IsNotFound(err) {
		t.Errorf("opening what there is not: %v", err)
	}
	if err := c.Get(ctx, "pods", "ns", "gone", &got); !apierrors.IsNotFound(err) {
		t.Errorf("what there is not: %v", err)
	}
}
