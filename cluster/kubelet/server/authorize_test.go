package server

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

// Who has neither the API server's certificate nor a master's may do what the API server
// allows in a review, whose subresource of the node is that of the path.
func TestWhoMayUseTheServer(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		name, ok := strings.CutPrefix(review.Spec.Token, "token-of-")
		review.Status.Authenticated, review.Status.User.Username = ok, name
		return true, review, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		at := review.Spec.ResourceAttributes
		if review.Spec.User == "unlucky" {
			return true, nil, errors.New("no answer")
		}
		review.Status.Allowed = at.Resource == "nodes" && at.Name == "n" && review.Spec.User == at.Verb+"-"+at.Subresource
		return true, review, nil
	})
	s := New(Config{Log: slog.New(slog.DiscardHandler), Client: client, NodeName: "n", AllowedUsers: []string{"apiserver"}})
	h := s.authorized(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	certified := func(name string, groups ...string) func(*http.Request) {
		return func(r *http.Request) {
			cert := &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: groups}}
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}
		}
	}
	token := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text) }
	}
	for _, c := range []struct {
		method, path string
		as           func(*http.Request)
		want         int
	}{
		{"GET", "/pods", func(*http.Request) {}, 401},
		{"GET", "/healthz", func(*http.Request) {}, 401},
		{"GET", "/pods", token("forged"), 401},
		{"GET", "/pods", token(""), 401},
		{"POST", "/exec/ns/p/c", certified("apiserver"), 200},
		{"POST", "/exec/ns/p/c", certified("somebody", "system:masters"), 200},
		{"GET", "/pods", certified("somebody"), 403},
		{"GET", "/metrics/resource", certified("get-metrics"), 200},
		{"GET", "/metrics", token("token-of-get-metrics"), 200},
		{"GET", "/metrics/cadvisor", token("token-of-get-metrics"), 200},
		{"GET", "/metrics/probes", token("token-of-get-metrics"), 200},
		{"GET", "/metrics/probes", token("token-of-get-stats"), 403},
		{"GET", "/statusz", token("token-of-get-statusz"), 200},
		{"GET", "/statusz", token("token-of-get-proxy"), 403},
		{"GET", "/flagz", token("token-of-get-configz"), 200},
		{"GET", "/flagz", token("token-of-get-proxy"), 403},
		{"GET", "/debug/pprof/heap", token("token-of-get-proxy"), 200},
		{"GET", "/debug/pprof/heap", token("token-of-get-metrics"), 403},
		{"GET", "/stats/summary", token("token-of-get-metrics"), 403},
		{"GET", "/stats/summary", token("token-of-get-stats"), 200},
		{"GET", "/logs/x", token("token-of-get-log"), 200},
		{"GET", "/pods", token("token-of-get-pods"), 200},
		{"GET", "/runningpods/", token("token-of-get-proxy"), 200},
		{"GET", "/healthz", token("token-of-get-healthz"), 200},
		{"GET", "/healthz", token("token-of-get-proxy"), 200},
		{"GET", "/healthz", token("token-of-get-configz"), 403},
		{"GET", "/configz", token("token-of-get-configz"), 200},
		{"POST", "/exec/ns/p/c", token("token-of-get-proxy"), 403},
		{"GET", "/exec/ns/p/c", token("token-of-get-proxy"), 403},
		{"GET", "/exec/ns/p/c", token("token-of-create-proxy"), 200},
		{"GET", "/pods", token("token-of-unlucky"), 500},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		c.as(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, w.Code, w.Body, c.want)
		}
	}
}

// TestLookupsAreBounded: one address causes only so many reviews of the API server at
// once; others, and the API server itself, are served meanwhile.
func TestLookupsAreBounded(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1"}`)
	}))
	defer api.Close()
	client := kubernetes.NewForConfigOrDie(&rest.Config{Host: api.URL, QPS: -1})
	s := New(Config{Log: slog.New(slog.DiscardHandler), Client: client, NodeName: "n", AllowedUsers: []string{"apiserver"}})
	h := s.authorized(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	try := func(remote string, state *tls.ConnectionState) int {
		r := httptest.NewRequest(http.MethodGet, "/pods", nil)
		r.RemoteAddr, r.TLS = remote, state
		r.Header.Set("Authorization", "Bearer guess")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	codes := make(chan int)
	send := func(remote string) {
		go func() { codes <- try(remote, nil) }()
		<-asked
	}
	for range reviewsPerSource {
		send("192.0.2.1:1")
	}
	if code := try("192.0.2.1:2", nil); code != http.StatusTooManyRequests {
		t.Errorf("one more review than may be: %d", code)
	}
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "apiserver"}}
	if code := try("192.0.2.1:3", &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}); code != http.StatusOK {
		t.Errorf("the API server: %d", code)
	}
	send("192.0.2.2:1")
	close(answer)
	for range reviewsPerSource + 1 {
		if code := <-codes; code != http.StatusUnauthorized {
			t.Errorf("a guess: %d", code)
		}
	}
}
