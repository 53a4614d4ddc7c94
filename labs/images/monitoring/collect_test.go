package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCollect(t *testing.T) {
	answers := map[string]string{
		"/api/v1/nodes":                      `{"items":[{"metadata":{"name":"pi-1"},"status":{"capacity":{"cpu":"4","memory":"925Mi"}}}]}`,
		"/apis/metrics.k8s.io/v1beta1/nodes": `{"items":[{"metadata":{"name":"pi-1"},"usage":{"cpu":"156340938n","memory":"2Ki"}}]}`,
		"/apis/metrics.k8s.io/v1beta1/pods":  `{"items":[{"metadata":{"name":"a","namespace":"b"},"containers":[{"usage":{"cpu":"10m","memory":"1Ki"}},{"usage":{"cpu":"5m","memory":"1Ki"}}]}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, text) // the client notices
	}))
	defer server.Close()
	s, err := Collect(t.Context(), server.Client(), server.URL)
	if err != nil || s.Nodes["pi-1"] != (Use{157, 2048}) || s.Room["pi-1"] != (Use{4000, 925 << 20}) || s.Pods["b/a"] != (Use{15, 2048}) {
		t.Errorf("%+v, %v", s, err)
	}
	delete(answers, "/apis/metrics.k8s.io/v1beta1/pods")
	if _, err := Collect(t.Context(), server.Client(), server.URL); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("%v", err)
	}
}
