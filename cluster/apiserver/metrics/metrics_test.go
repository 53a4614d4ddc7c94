package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"wheelhouse/cluster/apiserver/requestinfo"
)

// TestLabels: requests have upstream's labels, and a path that nothing serves is no label.
func TestLabels(t *testing.T) {
	s := New()
	for _, c := range []struct {
		method, path, contentType string
		served                    bool
		code                      int
		want                      string
	}{
		{"GET", "/api/v1/namespaces/a/pods/p", "", true, 200, `apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 1`},
		{"GET", "/api/v1/namespaces/a/pods", "", true, 200, `scope="namespace",subresource="",verb="LIST",version="v1"} 1`},
		{"GET", "/apis/apps/v1/deployments", "", true, 200, `group="apps",resource="deployments",scope="cluster",subresource="",verb="LIST",version="v1"} 1`},
		{"POST", "/api/v1/namespaces/a/pods?dryRun=All", "", true, 201, `code="201",component="apiserver",dry_run="All",group="",resource="pods",scope="resource",subresource="",verb="POST"`},
		{"PATCH", "/api/v1/namespaces/a/pods/p", "application/apply-patch+yaml", true, 200, `verb="APPLY"`},
		{"PATCH", "/api/v1/namespaces/a/pods/p", "application/merge-patch+json", true, 200, `verb="PATCH"`},
		{"GET", "/api/v1/namespaces/a/pods/p/log", "", true, 200, `resource="pods",scope="resource",subresource="log",verb="CONNECT"`},
		{"GET", "/api/v1/secret-name", "", false, 404, `apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="",scope="",subresource="",verb="other",version=""} 1`},
		{"GET", "/healthz", "", false, 200, `apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="",scope="",subresource="",verb="GET",version=""} 1`},
		{"DELETE", "/api/v1/namespaces/a/pods", "", true, 429, `apiserver_request_terminations_total{code="429",component="apiserver",group="",resource="pods",scope="namespace",subresource="",verb="DELETECOLLECTION",version="v1"} 1`},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header.Set("Content-Type", c.contentType)
		s.Begin(r, requestinfo.Parse(r), c.served)(c.code)
		w := httptest.NewRecorder()
		s.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if text := w.Body.String(); !strings.Contains(text, c.want) || strings.Contains(text, "secret-name") {
			t.Errorf("%s %s: no %s in\n%.3000s", c.method, c.path, c.want, text)
		}
	}
}
