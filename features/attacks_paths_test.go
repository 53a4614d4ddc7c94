package features_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pathAttacks ask in one place, where they are authorized, for what is in another.
func pathAttacks() []attack {
	const kind = "authorized here, served there"
	inOwn := "/api/v1/namespaces/" + own
	return []attack{
		{kind, "read another namespace below the own", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.owner.get(ctx, inOwn+"/namespaces/"+victim)), refused(s.viewer.get(ctx, inOwn+"/namespaces/"+victim)))
		}},
		{kind, "list all namespaces below the own", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.viewer.get(ctx, inOwn+"/namespaces")), refused(s.viewer.get(ctx, inOwn+"/namespaces?watch=1&timeoutSeconds=1")),
				refused(s.viewer.get(ctx, "/api/v1/watch/namespaces/"+own+"/namespaces?timeoutSeconds=1")))
		}},
		{kind, "label another namespace below the own", "", func(ctx context.Context, s *fixture) error {
			return s.unchanged(ctx, "/api/v1/namespaces/"+victim, func() error {
				return refused(s.owner.merge(ctx, inOwn+"/namespaces/"+victim, `{"metadata":{"labels":{"a":"b"}}}`), 403, 404, 405)
			})
		}},
		{kind, "delete another namespace below the own", "", func(ctx context.Context, s *fixture) error {
			return s.unchanged(ctx, "/api/v1/namespaces/"+victim, func() error {
				return refused(s.owner.delete(ctx, inOwn+"/namespaces/"+victim), 403, 404, 405)
			})
		}},
		{kind, "make a namespace below the own", "", func(ctx context.Context, s *fixture) error {
			return refused(s.owner.post(ctx, inOwn+"/namespaces", `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"of-the-owner"}}`), 403, 404, 405)
		}},
		{kind, "read kinds of the cluster below the own namespace", "", func(ctx context.Context, s *fixture) error {
			rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + own
			return each(refused(s.owner.get(ctx, inOwn+"/nodes")), refused(s.owner.get(ctx, inOwn+"/nodes/master")),
				refused(s.owner.get(ctx, inOwn+"/persistentvolumes")), refused(s.owner.get(ctx, rbac+"/clusterroles/cluster-admin")),
				refused(s.owner.merge(ctx, rbac+"/clusterroles/view", `{"rules":[]}`), 403, 404, 405),
				refused(s.owner.delete(ctx, inOwn+"/nodes/minion-2"), 403, 404, 405))
		}},
		{kind, "finalize another namespace below the own", "", func(ctx context.Context, s *fixture) error {
			body := fmt.Sprintf(`{"kind":"Namespace","apiVersion":"v1","metadata":{"name":%q},"spec":{}}`, victim)
			return s.unchanged(ctx, "/api/v1/namespaces/"+victim, func() error {
				return each(refused(s.owner.put(ctx, inOwn+"/namespaces/"+victim+"/finalize", body), 403, 404, 405),
					refused(s.owner.put(ctx, inOwn+"/namespaces/"+victim+"/status", body), 403, 404, 405))
			})
		}},
		{kind, "name another namespace in the body", "", func(ctx context.Context, s *fixture) error {
			body := fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"planted","namespace":%q}}`, victim)
			return each(refused(s.owner.post(ctx, inOwn+"/configmaps", body), 400, 403), s.absent(ctx, "/api/v1/namespaces/"+victim+"/configmaps/planted"),
				refused(s.owner.send(ctx, http.MethodPatch, inOwn+"/configmaps/planted?fieldManager=x", "application/apply-patch+yaml", body), 400, 403),
				s.absent(ctx, "/api/v1/namespaces/"+victim+"/configmaps/planted"))
		}},
		{kind, "bind a pod of another namespace", "", func(ctx context.Context, s *fixture) error {
			body := fmt.Sprintf(`{"kind":"Binding","apiVersion":"v1","metadata":{"name":"target","namespace":%q},"target":{"kind":"Node","name":"master"}}`, victim)
			return s.unchanged(ctx, "/api/v1/namespaces/"+victim+"/pods/target", func() error {
				return each(refused(s.owner.post(ctx, inOwn+"/bindings", body), 400, 403, 404), refused(s.owner.post(ctx, inOwn+"/pods/target/binding", body), 400, 403))
			})
		}},
		{kind, "evict a pod of another namespace", "", func(ctx context.Context, s *fixture) error {
			body := fmt.Sprintf(`{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"target","namespace":%q}}`, victim)
			return s.unchanged(ctx, "/api/v1/namespaces/"+victim+"/pods/target", func() error {
				return refused(s.owner.post(ctx, inOwn+"/pods/target/eviction?dryRun=All", body), 400, 403)
			})
		}},
		{kind, "leave the namespace by dots and slashes", "", func(ctx context.Context, s *fixture) error {
			for _, path := range []string{
				inOwn + "/../" + victim + "/secrets/private", "/api/v1/namespaces/" + own + "%2f..%2f" + victim + "/secrets/private",
				inOwn + "/secrets/..%2f..%2f" + victim + "%2fsecrets%2fprivate", inOwn + "/secrets/../../" + victim + "/secrets/private",
				"//api/v1//namespaces//" + victim + "//secrets//private", "/./api/v1/namespaces/" + victim + "/secrets/private",
			} {
				if err := refused(s.owner.get(ctx, path), 301, 400, 403, 404); err != nil {
					return err
				}
			}
			return nil
		}},
		{kind, "select another namespace", "", func(ctx context.Context, s *fixture) error {
			for _, path := range []string{
				inOwn + "/secrets?fieldSelector=metadata.namespace%3D" + victim, inOwn + "/configmaps?fieldSelector=metadata.namespace%3D" + victim,
				inOwn + "/secrets?namespace=" + victim, inOwn + "/secrets?fieldSelector=metadata.name%3Dprivate",
			} {
				r := s.owner.get(ctx, path)
				if strings.Contains(r.body, privateValue) || strings.Contains(r.body, "private") {
					return fmt.Errorf("%v", r)
				}
			}
			return nil
		}},
		{kind, "go on with the list of another namespace", "", func(ctx context.Context, s *fixture) error {
			return s.continueElsewhere(ctx)
		}},
		{kind, "name one object and list all", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.viewer.get(ctx, "/api/v1/namespaces/"+victim+"/secrets/private?watch=1&timeoutSeconds=1")),
				refused(s.viewer.get(ctx, "/api/v1/watch/namespaces/"+victim+"/secrets/private?timeoutSeconds=1")),
				refused(s.viewer.get(ctx, "/api/v1/secrets")), refused(s.owner.get(ctx, "/api/v1/secrets?limit=1")),
				refused(s.nobody.get(ctx, "/api/v1/namespaces/"+victim+"/pods?fieldSelector=metadata.name%3Dtarget")))
		}},
		{kind, "other methods and their headers", "", func(ctx context.Context, s *fixture) error {
			path := "/api/v1/namespaces/" + victim + "/secrets/private"
			return s.unchanged(ctx, path, func() error {
				for _, method := range []string{http.MethodHead, http.MethodOptions, "get", "Get", "PROPFIND", http.MethodTrace} {
					if err := refused(s.owner.send(ctx, method, path, "", ""), 400, 403, 404, 405, 501); err != nil {
						return err
					}
				}
				return refused(s.viewer.send(ctx, http.MethodGet, inOwn+"/pods/target", "", "", "X-Http-Method-Override", "DELETE"), 200)
			})
		}},
		{kind, "a token for an account of another namespace", "", func(ctx context.Context, s *fixture) error {
			body := fmt.Sprintf(`{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"default","namespace":%q},"spec":{}}`, victim)
			return each(refused(s.owner.post(ctx, "/api/v1/namespaces/"+victim+"/serviceaccounts/default/token", body)),
				refused(s.owner.post(ctx, inOwn+"/serviceaccounts/default/token", body), 400, 403, 422))
		}},
		{kind, "a review of another namespace", "", func(ctx context.Context, s *fixture) error {
			body := fmt.Sprintf(`{"kind":"LocalSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":"x","resourceAttributes":{"namespace":%q,"verb":"get","resource":"secrets"}}}`, victim)
			return refused(s.owner.post(ctx, "/apis/authorization.k8s.io/v1/namespaces/"+own+"/localsubjectaccessreviews", body), 400, 403, 422)
		}},
		{kind, "retired names of the same kinds", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.viewer.get(ctx, "/apis/extensions/v1beta1/namespaces/"+victim+"/deployments")),
				refused(s.viewer.delete(ctx, "/apis/extensions/v1beta1/namespaces/"+own+"/replicasets/any")),
				refused(s.viewer.get(ctx, "/api/v1/proxy/namespaces/"+victim+"/pods/target")),
				refused(s.viewer.get(ctx, "/api/v1/proxy/nodes/minion-1/pods")),
				refused(s.viewer.get(ctx, "/api/v1/watch/secrets?timeoutSeconds=1")))
		}},
		{kind, "paths beside the API", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.nobody.get(ctx, "/metrics")), refused(s.nobody.get(ctx, "/metrics/")), refused(s.nobody.get(ctx, "/debug/pprof/"), 403, 404),
				refused(s.anonymous.get(ctx, "/api"), 401, 403), refused(s.anonymous.get(ctx, "/api/v1/namespaces"), 401, 403),
				refused(s.anonymous.get(ctx, "/openapi/v2"), 401, 403), refused(s.nobody.get(ctx, "/logs/"), 403, 404))
		}},
	}
}

// absent is an error when there is an object at path.
func (s *fixture) absent(ctx context.Context, path string) error {
	if r := s.admin.get(ctx, path); r.code != http.StatusNotFound {
		return fmt.Errorf("want no object there: %v", r)
	}
	return nil
}

// continueElsewhere uses the continue token of one namespace's list in another's.
func (s *fixture) continueElsewhere(ctx context.Context) error {
	for _, name := range []string{"a", "b"} {
		body := fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":%q}}`, name)
		if r := s.admin.post(ctx, "/api/v1/namespaces/"+victim+"/configmaps", body); r.code != http.StatusCreated {
			return fmt.Errorf("preparing: %v", r)
		}
	}
	first := s.admin.get(ctx, "/api/v1/namespaces/"+victim+"/configmaps?limit=1")
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal([]byte(first.body), &list); err != nil || list.Continue == "" {
		return fmt.Errorf("preparing: no continue token: %v, %w", first, err)
	}
	r := s.owner.get(ctx, "/api/v1/namespaces/"+own+"/configmaps?limit=500&continue="+list.Continue)
	if strings.Contains(r.body, privateValue) || strings.Contains(r.body, `"namespace":"`+victim+`"`) {
		return fmt.Errorf("%v", r)
	}
	return nil
}
