package apiserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
)

// lastAsked allows all, and keeps the first question about a request.
type lastAsked struct{ a authz.Attributes }

func (l *lastAsked) Authorize(_ context.Context, a authz.Attributes) (bool, string, error) {
	if l.a.User == nil {
		l.a = a
	}
	return true, "", nil
}

// TestRoutes: what upstream's authorizer is asked about a request, and its answer to who may
// all. The question is VERB GROUP/RESOURCE/SUBRESOURCE in NAMESPACE of NAME.
func TestRoutes(t *testing.T) {
	l := &lastAsked{}
	server, _ := apitest.StartServer(t, func(c *apiserver.Config) { c.Authorizer = l })
	for _, c := range []struct {
		method, path, asked string
		code                int
	}{
		{"GET", "/api/v1/namespaces", "list /namespaces/ in  of ", 200},
		{"GET", "/api/v1/namespaces/default", "get /namespaces/ in default of default", 200},
		{"GET", "/api/v1/namespaces/default/status", "get /namespaces/status in default of default", 200},
		{"GET", "/api/v1/namespaces/default/finalize", "get /namespaces/finalize in default of default", 405},
		{"POST", "/api/v1/namespaces/default", "create /namespaces/ in default of default", 405},
		{"GET", "/api/v1/namespaces/default/status/x", "get /namespaces/status in default of default", 404},
		{"GET", "/api/v1/namespaces/default/namespaces", "list /namespaces/ in default of ", 404},
		{"POST", "/api/v1/namespaces/default/namespaces", "create /namespaces/ in default of ", 404},
		{"GET", "/api/v1/namespaces/default/namespaces?watch=1", "watch /namespaces/ in default of ", 404},
		{"GET", "/api/v1/namespaces/default/namespaces/default", "get /namespaces/ in default of default", 404},
		{"PATCH", "/api/v1/namespaces/default/namespaces/other", "patch /namespaces/ in default of other", 404},
		{"DELETE", "/api/v1/namespaces/default/namespaces/other", "delete /namespaces/ in default of other", 404},
		{"PUT", "/api/v1/namespaces/default/namespaces/other/finalize", "update /namespaces/finalize in default of other", 404},
		{"GET", "/api/v1/watch/namespaces/default/namespaces/other", "watch /namespaces/ in default of other", 404},
		{"GET", "/api/v1/namespaces/default/nodes", "list /nodes/ in default of ", 404},
		{"GET", "/api/v1/namespaces/default/nodes/n/proxy/exec", "get /nodes/proxy in default of n", 404},
		{"GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles/x", "get rbac.authorization.k8s.io/clusterroles/ in default of x", 404},
		{"GET", "/apis/apps/v1/namespaces/default", "get apps/namespaces/ in default of default", 404},
		{"GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "list apiextensions.k8s.io/customresourcedefinitions/ in  of ", 200},
		{"GET", "/apis/apiextensions.k8s.io/v1/namespaces/default/customresourcedefinitions", "list apiextensions.k8s.io/customresourcedefinitions/ in default of ", 404},

		{"GET", "/api/v1/pods", "list /pods/ in  of ", 200},
		{"GET", "/api/v1/pods/", "list /pods/ in  of ", 200},
		{"GET", "/api/v1/pods?watch=False", "list /pods/ in  of ", 200},
		{"GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "list /pods/ in  of x", 200},
		{"GET", "/api/v1/pods?fieldSelector=metadata.name%3D", "list /pods/ in  of ", 200},
		{"GET", "/api/v1/pods?fieldSelector=metadata.name%3D..", "list /pods/ in  of ", 200},
		{"GET", "/api/v1/pods?fieldSelector=metadata.namespace%3Dx", "list /pods/ in  of ", 200},
		{"DELETE", "/api/v1/namespaces/default/pods?fieldSelector=metadata.name%3Dx", "deletecollection /pods/ in default of ", 200},
		{"POST", "/api/v1/namespaces/default/pods?fieldSelector=metadata.name%3Dx", "create /pods/ in default of ", 400},
		{"POST", "/api/v1/pods", "create /pods/ in  of ", 405},
		{"DELETE", "/api/v1/pods", "deletecollection /pods/ in  of ", 405},
		{"GET", "/api/v1/pods/x", "get /pods/ in  of x", 404},
		{"GET", "/api/v1/PODS", "list /PODS/ in  of ", 404},
		{"GET", "/api/v1/namespaces/default/pods/x?watch=1", "get /pods/ in default of x", 404},
		{"GET", "/api/v1/namespaces/default/pods/..", "get /pods/ in default of ..", 400},
		{"GET", "/api/v1/namespaces/default%2Fpods", "list /pods/ in default of ", 200},
		{"GET", "/api/v1/namespaces/default/pods/x%2Flog", "get /pods/log in default of x", 404},
		{"GET", "/api/v1/namespaces/default/../kube-system/pods", "get /../pods in default of kube-system", 404},
		{"GET", "/api/v1/namespaces//pods", "list /pods/ in  of ", 200},
		{"GET", "/api/v1/namespaces/default//pods", "get // in default of pods", 404},
		{"GET", "/api/v1/namespaces/default/pods//log", "list /pods/log in default of ", 405},
		{"POST", "/api/v1/namespaces/default/pods//eviction", "create /pods/eviction in default of ", 400},
		{"GET", "//api/v1/pods", "list /pods/ in  of ", 404},
		{"GET", "/api/v1/namespaces/default/pods/x/log/y", "get /pods/log in default of x", 404},
		{"GET", "/api/v1/namespaces/default/pods/x/nope", "get /pods/nope in default of x", 404},
		{"GET", "/api/v1/namespaces/default/configmaps/x/log", "get /configmaps/log in default of x", 404},
		{"GET", "/api/v1/namespaces/default/pods/x/exec/y", "get /pods/exec in default of x", 404},
		{"PUT", "/api/v1/namespaces/default/pods/x/exec", "update /pods/exec in default of x", 405},
		{"PATCH", "/api/v1/namespaces/default/pods", "patch /pods/ in default of ", 405},
		{"OPTIONS", "/api/v1/namespaces/default/pods/x", " /pods/ in default of x", 405},
		{"CONNECT", "/api/v1/namespaces/default/pods/x/proxy", " /pods/proxy in default of x", 405},
		{"LIST", "/api/v1/namespaces/default/pods/x", " /pods/ in default of x", 405},
		{"list", "/api/v1/namespaces/default/pods", " /pods/ in default of ", 405},
		{"DELETECOLLECTION", "/api/v1/namespaces/default/pods/x", " /pods/ in default of x", 405},

		{"POST", "/api/v1/watch/namespaces/default/pods", "watch /pods/ in default of ", 405},
		{"DELETE", "/api/v1/watch/namespaces/default/pods/x", "watch /pods/ in default of x", 405},
		{"GET", "/api/v1/watch/namespaces/default/pods/x/log", "watch /pods/log in default of x", 404},
		{"GET", "/api/v1/watch", "list /watch/ in  of ", 404},
		{"GET", "/api/v1/proxy/namespaces/default/pods/x/y/z", "get /pods/proxy in default of x", 404},
		{"GET", "/api/v1/proxy/namespaces/default", "get /namespaces/proxy in default of default", 404},
		{"GET", "/api/v1/proxy/pods/x", "get /pods/proxy in  of x", 404},

		{"POST", "/api/v1/bindings", "create /bindings/ in  of ", 404},
		{"POST", "/api/v1/namespaces/default/bindings/x", "create /bindings/ in default of x", 404},
		{"GET", "/api/v1/namespaces/default/bindings", "list /bindings/ in default of ", 405},
		{"GET", "/api/v1/componentstatuses", "list /componentstatuses/ in  of ", 200},
		{"GET", "/api/v1/namespaces/default/componentstatuses", "list /componentstatuses/ in default of ", 404},
		{"DELETE", "/api/v1/componentstatuses", "deletecollection /componentstatuses/ in  of ", 405},
		{"GET", "/apis/extensions/v1beta1/namespaces/default/deployments", "list extensions/deployments/ in default of ", 200},
		{"GET", "/apis/extensions/v1beta1/namespaces/default/pods", "list extensions/pods/ in default of ", 404},
	} {
		l.a = authz.Attributes{}
		rec := httptest.NewRecorder()
		server.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), c.method, c.path, http.NoBody))
		asked := fmt.Sprintf("%s %s/%s/%s in %s of %s", l.a.Verb, l.a.Group, l.a.Resource, l.a.Subresource, l.a.Namespace, l.a.Name)
		if rec.Code != c.code || asked != c.asked {
			t.Errorf("%s %s: %d after the question %q, want %d after %q", c.method, c.path, rec.Code, asked, c.code, c.asked)
		}
	}
}
