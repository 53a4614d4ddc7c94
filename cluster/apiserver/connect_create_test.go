package apiserver_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reader may get everything, by an authorizer to which all others may do all.
const reader = "reader"

type getOnly struct{}

func (getOnly) Authorize(_ context.Context, a authz.Attributes) (bool, string, error) {
	return a.User.Name != reader || a.Verb == "get", "", nil
}

// A stream into a pod begins with a GET, if it is a WebSocket; to get is not enough for it.
func TestStreamsNeedCreate(t *testing.T) {
	var connected atomic.Int32
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		connected.Add(1)
		w.WriteHeader(http.StatusTeapot)
	}))
	defer kubelet.Close()
	server, cfg := apitest.StartServer(t, func(c *apiserver.Config) {
		c.Authorizer = getOnly{}
		c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
	})
	ctx, cs := within(t), clientset(t, cfg)
	nodeAt(ctx, t, cs, "n", kubelet.Listener.Addr().String())
	if _, err := cs.CoreV1().Pods("default").Create(ctx, testPod("p"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := bindTo(ctx, t, cs.CoreV1().Pods("default"), "p", "n"); err != nil {
		t.Fatal(err)
	}
	const proxy, node = "/api/v1/nodes/n/proxy", `nodes "n" is forbidden: User "reader" cannot create resource "nodes/proxy" in API group "" at the cluster scope`
	for _, c := range []struct{ path, refused string }{
		{somePods + "/p/exec?command=ls&stdout=1", `pods "p" is forbidden: `},
		{somePods + "/p/attach?stdout=1", `pods "p" is forbidden: `},
		{somePods + "/p/portforward?ports=80", `pods "p" is forbidden: `},
		{somePods + "/nope/exec?command=ls&stdout=1", `pods "nope" is forbidden: `},
		{proxy + "/exec/default/p/c?command=ls&output=1", node},
		{proxy + "/attach/default/p/c?output=1", node},
		{proxy + "/portForward/default/p", node},
		{proxy + "/run/default/p/c?cmd=ls", node},
		{"/api/v1/proxy/nodes/n/exec/default/p/c?command=ls&output=1", node},
		{proxy + "//exec/default/p/c?command=ls&output=1", node},
		{proxy + "/pods/../exec/default/p/c?command=ls&output=1", node},
		{proxy + "/exec%2Fdefault/p/c?command=ls&output=1", node},
		{proxy + "/pods", ""},
		{proxy + "/logs/", ""},
		{somePods + "/p/log", ""},
	} {
		for user, allowed := range map[string]bool{reader: c.refused == "", "writer": true} {
			connected.Store(0)
			req := httptest.NewRequestWithContext(client.WithUser(ctx, &client.User{Name: user}), http.MethodGet, c.path, http.NoBody)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "websocket")
			if c.refused == "" {
				req.Header = http.Header{}
			}
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, req)
			if !allowed && (w.Code != 403 || !strings.Contains(unquoted(w.Body.String()), `"message":"`+c.refused) || connected.Load() != 0) {
				t.Errorf("GET %s by %s: %d %s, %d connections; want 403 %q", c.path, user, w.Code, w.Body, connected.Load(), c.refused)
			}
			if allowed && !strings.Contains(c.path, "nope") && (w.Code == 403 || connected.Load() == 0) {
				t.Errorf("GET %s by %s: %d %s, and the kubelet was not asked", c.path, user, w.Code, w.Body)
			}
		}
	}
}
