package features_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const (
	clusterRoles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
	ownRoles     = "/apis/rbac.authorization.k8s.io/v1/namespaces/" + own
)

func clusterRole(name, rest string) string {
	return fmt.Sprintf(`{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":%q%s`, name, rest)
}

// rightAttacks try to hold more rights than were given.
func rightAttacks() []attack {
	const grants, acts, others = "rights that grow", "a GET that acts", "another user"
	all := `},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`
	target := "/api/v1/namespaces/" + own + "/pods/target"
	return []attack{
		{grants, "write a role of more than one has", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.rbacEditor.post(ctx, clusterRoles, clusterRole("grab", all))),
				refused(s.owner.post(ctx, ownRoles+"/roles", strings.Replace(clusterRole("grab", all), "ClusterRole", "Role", 1))),
				refused(s.rbacEditor.merge(ctx, clusterRoles+"/rbac-editor", `{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`)))
		}},
		{grants, "a label that adds a role to another", "", func(ctx context.Context, s *fixture) error {
			rules := `},"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get","list"]}]}`
			if r := s.admin.post(ctx, clusterRoles, clusterRole("dormant", rules)); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			for _, patch := range []string{
				`{"metadata":{"labels":{"rbac.authorization.k8s.io/aggregate-to-view":"true"}}}`, `{"metadata":{"labels":{"any":"label"}}}`,
				`{"metadata":{"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"}}}`,
			} {
				if err := refused(s.rbacEditor.merge(ctx, clusterRoles+"/dormant", patch)); err != nil {
					return err
				}
			}
			return refused(s.viewer.get(ctx, "/api/v1/namespaces/"+own+"/secrets"))
		}},
		{grants, "a rule that aggregates", "", func(ctx context.Context, s *fixture) error {
			rule := `},"aggregationRule":{"clusterRoleSelectors":[{"matchExpressions":[{"key":"kubernetes.io/bootstrapping","operator":"Exists"}]}]},"rules":[]}`
			return each(refused(s.rbacEditor.post(ctx, clusterRoles, clusterRole("aggregator", rule))),
				refused(s.rbacEditor.merge(ctx, clusterRoles+"/rbac-editor", `{"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"a":"b"}}]}}`)))
		}},
		{grants, "bind a role of more than one has", "", func(ctx context.Context, s *fixture) error {
			subject := fmt.Sprintf(`"subjects":[{"kind":"ServiceAccount","namespace":%q,"name":"nobody"}]`, own)
			ref := `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}`
			binding := `{"kind":"%s","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"grab"},` + subject + "," + ref + "}"
			return each(refused(s.owner.post(ctx, ownRoles+"/rolebindings", fmt.Sprintf(binding, "RoleBinding"))),
				refused(s.rbacEditor.post(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", fmt.Sprintf(binding, "ClusterRoleBinding"))),
				refused(s.rbacEditor.send(ctx, http.MethodPatch, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/grab?fieldManager=x", "application/apply-patch+yaml", fmt.Sprintf(binding, "ClusterRoleBinding"))),
				refused(s.rbacEditor.merge(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin", "{"+subject+"}")),
				refused(s.rbacEditor.merge(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/rbac-editor", "{"+ref+"}"), 403, 422))
		}},
		{grants, "write one's own certificate into a request's status", "", func(ctx context.Context, s *fixture) error {
			body, err := csr("example.com/own", "x", "y", nil)
			if err != nil {
				return err
			}
			made := s.admin.post(ctx, requests, body)
			name := nameOf(made.body)
			cert := base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
			approval := `{"status":{"conditions":[{"type":"Approved","status":"True","reason":"me"}]}}`
			return each(refused(s.rbacEditor.merge(ctx, requests+"/"+name+"/status", `{"status":{"certificate":"`+cert+`"}}`)),
				refused(s.rbacEditor.merge(ctx, requests+"/"+name+"/approval", approval)),
				refused(s.rbacEditor.merge(ctx, requests+"/"+name+"/status", `{"status":{"conditions":[{"type":"Failed","status":"True","reason":"x"}]}}`)))
		}},
		{grants, "ask for an administrator's certificate", "", func(ctx context.Context, s *fixture) error {
			return s.rbacEditor.signed(ctx, certificatesv1.KubeAPIServerClientSignerName, "me", "system:masters", nil)
		}},
		{grants, "a namespace's labels by its owner", "", func(ctx context.Context, s *fixture) error {
			path := "/api/v1/namespaces/" + own
			return s.unchanged(ctx, path, func() error {
				return each(refused(s.owner.merge(ctx, path, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`)),
					refused(s.owner.merge(ctx, path+"/status", `{"status":{"phase":"Terminating"}}`)), refused(s.owner.put(ctx, path+"/finalize", `{}`)))
			})
		}},
		{grants, "secrets of the join tokens and accounts", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.owner.get(ctx, "/api/v1/namespaces/kube-system/secrets")),
				refused(s.owner.post(ctx, "/api/v1/namespaces/kube-system/secrets", `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"bootstrap-token-aaaaaa"},"type":"bootstrap.kubernetes.io/token"}`)),
				refused(s.editor.post(ctx, "/api/v1/namespaces/kube-system/serviceaccounts/default/token", `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","spec":{}}`)))
		}},
		{grants, "a quota, a limit or a priority of one's own", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.owner.post(ctx, "/api/v1/namespaces/"+own+"/resourcequotas", `{"kind":"ResourceQuota","apiVersion":"v1","metadata":{"name":"q"}}`)),
				refused(s.owner.post(ctx, "/apis/scheduling.k8s.io/v1/priorityclasses", `{"kind":"PriorityClass","apiVersion":"scheduling.k8s.io/v1","metadata":{"name":"p"},"value":1}`)),
				refused(s.editor.post(ctx, "/api/v1/namespaces/"+own+"/pods", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"priority":2000000001,"containers":[{"name":"c","image":"busybox"}]}}`), 403))
		}},
		{others, "impersonate", "CVE-2018-1002105", func(ctx context.Context, s *fixture) error {
			path := "/api/v1/namespaces/" + victim + "/secrets/private"
			return each(refused(s.owner.get(ctx, path, "Impersonate-User", "kubernetes-admin", "Impersonate-Group", "system:masters")),
				refused(s.nobody.get(ctx, path, "Impersonate-User", "system:serviceaccount:"+victim+":default")),
				refused(s.owner.get(ctx, path, "Impersonate-Group", "system:masters"), 400, 403, 500),
				refused(s.owner.get(ctx, path, "Impersonate-Uid", "x"), 400, 403, 500),
				refused(s.editor.get(ctx, path, "Impersonate-User", "system:serviceaccount:"+own+":nobody", "Impersonate-Extra-scopes", "all")))
		}},
		{others, "headers of a proxy that authenticates", "", func(ctx context.Context, s *fixture) error {
			path := "/api/v1/namespaces/" + victim + "/secrets/private"
			return refused(s.anonymous.get(ctx, path, "X-Remote-User", "kubernetes-admin", "X-Remote-Group", "system:masters"), 401, 403)
		}},
		{others, "broken and foreign credentials", "", func(ctx context.Context, s *fixture) error {
			for _, token := range []string{
				"eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4iLCJncm91cHMiOlsic3lzdGVtOm1hc3RlcnMiXX0.", "a.b.c", strings.Repeat("x", 7000),
				s.nobody.token[:len(s.nobody.token)-6] + "AAAAAA", strings.ToUpper(s.nobody.token), "null",
			} {
				c := *s.anonymous
				c.name, c.token = "a broken token", token
				if err := refused(c.get(ctx, "/api/v1/namespaces"), 401, 431); err != nil {
					return err
				}
			}
			return nil
		}},
		{others, "a token of an account that is gone", "", func(ctx context.Context, s *fixture) error {
			return s.tokenOfDeletedAccount(ctx)
		}},
		{acts, "exec by a web socket", "", func(ctx context.Context, s *fixture) error {
			return refused(s.viewer.upgrade(ctx, target+"/exec?command=id&stdout=1&container=c"))
		}},
		{acts, "attach by a web socket", "", func(ctx context.Context, s *fixture) error {
			return refused(s.viewer.upgrade(ctx, target+"/attach?stdout=1&container=c"))
		}},
		{acts, "port-forward by a web socket", "", func(ctx context.Context, s *fixture) error {
			return refused(s.viewer.upgrade(ctx, target+"/portforward?ports=80"))
		}},
		{acts, "through the proxies", "CVE-2018-1002105", func(ctx context.Context, s *fixture) error {
			return each(refused(s.viewer.get(ctx, target+"/proxy/")), refused(s.viewer.get(ctx, "/api/v1/nodes/minion-1/proxy/exec/"+own+"/target/c?command=id&output=1")),
				refused(s.viewer.upgrade(ctx, "/api/v1/nodes/minion-1/proxy/exec/"+own+"/target/c?command=id&output=1")),
				refused(s.editor.get(ctx, "/api/v1/namespaces/"+victim+"/pods/target/proxy/")),
				refused(s.owner.get(ctx, "/api/v1/namespaces/default/services/https:kubernetes:443/proxy/api/v1/secrets")))
		}},
	}
}

func nameOf(object string) string {
	_, rest, _ := strings.Cut(object, `"name":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

func (s *fixture) tokenOfDeletedAccount(ctx context.Context) error {
	accounts := "/api/v1/namespaces/" + own + "/serviceaccounts"
	if r := s.admin.post(ctx, accounts, `{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"deleted-account"}}`); r.code != http.StatusCreated {
		return fmt.Errorf("preparing: %v", r)
	}
	made := s.admin.post(ctx, accounts+"/deleted-account/token", `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","spec":{}}`)
	_, rest, _ := strings.Cut(made.body, `"token":"`)
	c := *s.anonymous
	c.name = "deleted-account"
	c.token, _, _ = strings.Cut(rest, `"`)
	who := "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	body := `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}`
	if r := c.post(ctx, who, body); r.code != http.StatusCreated {
		return fmt.Errorf("preparing: the token must work at first: %v", r)
	}
	if r := s.admin.delete(ctx, accounts+"/deleted-account"); r.code != http.StatusOK {
		return fmt.Errorf("preparing: %v", r)
	}
	return refused(c.post(ctx, who, body), 401)
}
