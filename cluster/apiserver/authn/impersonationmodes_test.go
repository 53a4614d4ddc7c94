package authn

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"wheelhouse/cluster/apiserver/authz"
)

// question is what the authorizer is asked, as in the tables below.
func question(at authz.Attributes) string {
	what := at.Path
	if at.ResourceRequest {
		what = strings.Trim(at.Group+"/"+at.Resource+"/"+at.Subresource, "/") + " " + strings.Trim(at.Namespace+"/"+at.Name, "/")
	}
	return at.Verb + " " + what
}

func TestConstrainedImpersonation(t *testing.T) {
	const users, groups, accounts, nodes = "authentication.k8s.io/users", "authentication.k8s.io/groups", "authentication.k8s.io/serviceaccounts", "authentication.k8s.io/nodes"
	const on, list = "impersonate-on:", ":list pods default"
	agent := &User{Name: "system:serviceaccount:kube-system:agent", Extra: map[string][]string{extraNodeName: {"n1"}, extraPodName: {"agent-x"}}}
	alice := &User{Name: "alice"}
	many := "Impersonate-Group=a Impersonate-Group=b Impersonate-Group=c Impersonate-Group=d"
	for name, c := range map[string]struct {
		by      *User
		headers string
		rights  []string
		want    string // user, groups and constraint, or the error
	}{
		"a user": {alice, "Impersonate-User=bob", []string{on + "user-info" + list, "impersonate:user-info " + users + " bob"}, "bob [system:authenticated] impersonate:user-info"},
		"not for this request": {
			alice, "Impersonate-User=bob",
			[]string{on + "user-info:get pods default", "impersonate:user-info " + users + " bob"},
			`pods is forbidden: User "alice" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "default"`,
		},
		"not that user": {
			alice, "Impersonate-User=eve",
			[]string{on + "user-info" + list, "impersonate:user-info " + users + " bob"},
			`users.authentication.k8s.io "eve" is forbidden: User "alice" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope`,
		},
		"with groups, uid and extra": {
			alice, "Impersonate-User=bob Impersonate-Group=devs Impersonate-Uid=7 Impersonate-Extra-Example.com%2fteam=x",
			[]string{on + "user-info" + list, "impersonate:user-info " + users + " bob", "impersonate:user-info " + groups + " devs", "impersonate:user-info authentication.k8s.io/uids 7", "impersonate:user-info authentication.k8s.io/userextras/example.com/team x"},
			"bob [devs system:authenticated] impersonate:user-info",
		},
		"many groups by one right": {
			alice, "Impersonate-User=bob " + many,
			[]string{on + "user-info" + list, "impersonate:user-info " + users + " bob", "impersonate:user-info " + groups + " *"},
			"bob [a b c d system:authenticated] impersonate:user-info",
		},
		"many groups one by one": {
			alice, "Impersonate-User=bob " + many, []string{
				on + "user-info" + list, "impersonate:user-info " + users + " bob", "impersonate:user-info " + groups + " a",
				"impersonate:user-info " + groups + " b", "impersonate:user-info " + groups + " c", "impersonate:user-info " + groups + " d",
			}, "bob [a b c d system:authenticated] impersonate:user-info",
		},
		"masters never": {
			alice, "Impersonate-User=bob Impersonate-Group=system:masters",
			[]string{on + "user-info" + list, "impersonate:user-info " + users + " bob", "impersonate:user-info " + groups + " system:masters"},
			"impersonating the system:masters group is not allowed",
		},
		"masters by the old verb": {alice, "Impersonate-User=bob Impersonate-Group=system:masters", []string{"impersonate users bob", "impersonate groups system:masters"}, "bob [system:masters system:authenticated] "},
		"an invalid key of extra": {
			alice, "Impersonate-User=bob Impersonate-Extra-Team=x",
			[]string{on + "user-info" + list, "impersonate:user-info " + users + " bob", "impersonate:user-info authentication.k8s.io/userextras/team x"},
			"impersonating an invalid key in extra is not allowed",
		},
		"an account": {
			alice, "Impersonate-User=system:serviceaccount:a:bot",
			[]string{on + "serviceaccount" + list, "impersonate:serviceaccount " + accounts + " a/bot"},
			"system:serviceaccount:a:bot [system:serviceaccounts system:serviceaccounts:a system:authenticated] impersonate:serviceaccount",
		},
		"an account is no other user": {alice, "Impersonate-User=system:serviceaccount:a:bot", []string{on + "user-info" + list, "impersonate:user-info " + users + " system:serviceaccount:a:bot"}, `cannot impersonate-on:serviceaccount:list resource "pods"`},
		"an account with groups is impersonated by the old verb alone": {
			alice, "Impersonate-User=system:serviceaccount:a:bot Impersonate-Group=x",
			[]string{on + "serviceaccount" + list, "impersonate:serviceaccount " + accounts + " a/bot", "impersonate:serviceaccount " + groups + " x"},
			`serviceaccounts "bot" is forbidden: User "alice" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "a"`,
		},
		"any node":             {alice, "Impersonate-User=system:node:n2", []string{on + "arbitrary-node" + list, "impersonate:arbitrary-node " + nodes + " n2"}, "system:node:n2 [system:nodes system:authenticated] impersonate:arbitrary-node"},
		"a node is no user":    {alice, "Impersonate-User=system:node:n2", []string{on + "user-info" + list, "impersonate:user-info " + users + " system:node:n2"}, `cannot impersonate-on:arbitrary-node:list resource "pods"`},
		"the own node":         {agent, "Impersonate-User=system:node:n1", []string{on + "associated-node" + list, "impersonate:associated-node " + nodes + " *"}, "system:node:n1 [system:nodes system:authenticated] impersonate:associated-node"},
		"not another's node":   {agent, "Impersonate-User=system:node:n2", []string{on + "associated-node" + list, "impersonate:associated-node " + nodes + " *"}, `cannot impersonate-on:arbitrary-node:list resource "pods"`},
		"a user has no node":   {&User{Name: "alice", Extra: agent.Extra}, "Impersonate-User=system:node:n1", []string{on + "associated-node" + list, "impersonate:associated-node " + nodes + " *"}, `cannot impersonate-on:arbitrary-node:list resource "pods"`},
		"the node by its name": {agent, "Impersonate-User=system:node:n1", []string{on + "associated-node" + list, "impersonate:associated-node " + nodes + " n1"}, `cannot impersonate:associated-node resource "nodes" in API group "authentication.k8s.io" at the cluster scope`},
		"by the old verb":      {alice, "Impersonate-User=bob", []string{"impersonate users bob"}, "bob [system:authenticated] "},
		"anonymous":            {alice, "Impersonate-User=system:anonymous", []string{on + "user-info" + list, "impersonate:user-info " + users + " system:anonymous"}, "system:anonymous [system:unauthenticated] impersonate:user-info"},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Config{Static: map[string]*User{"t": c.by}, Authorizer: allow(func(at authz.Attributes) bool {
				if strings.Contains(at.Verb, "associated-node") && at.User.Extra[extraPodName] != nil {
					t.Error("the authorizer sees which pod it is")
				}
				return slices.Contains(c.rights, question(at))
			})})
			for _, try := range []string{"first", "second"} { // the mode of the first is tried first
				r := httptest.NewRequest("GET", "/api/v1/namespaces/default/pods", nil)
				r.Header.Set("Authorization", "Bearer t")
				for h := range strings.FieldsSeq(c.headers) {
					key, value, _ := strings.Cut(h, "=")
					r.Header.Add(key, value)
				}
				got := ""
				if u, err := a.Authenticate(r); err != nil {
					got = err.Error()
				} else {
					got = u.Name + " [" + strings.Join(u.Groups, " ") + "] " + u.Constraint
					if u.Impersonator == nil || u.Impersonator.Name != c.by.Name || r.Header.Get("Impersonate-User") != "" {
						t.Errorf("impersonated by %+v, headers %v", u.Impersonator, r.Header)
					}
				}
				if !strings.Contains(got, c.want) {
					t.Errorf("the %s time: %s, want %s", try, got, c.want)
				}
			}
		})
	}
}

// Whoever has impersonated by the old verb alone is asked for no other right the next time.
func TestTheLastModeIsTriedFirst(t *testing.T) {
	var asked []string
	a := New(Config{Static: map[string]*User{"t": {Name: "alice"}}, Authorizer: allow(func(at authz.Attributes) bool {
		asked = append(asked, question(at))
		return at.Verb == "impersonate"
	})})
	for _, want := range []string{"impersonate-on:user-info:get /api|impersonate users bob", "impersonate users bob"} {
		asked = nil
		r := httptest.NewRequest("GET", "/api", nil)
		r.Header.Set("Authorization", "Bearer t")
		r.Header.Set("Impersonate-User", "bob")
		if _, err := a.Authenticate(r); err != nil || strings.Join(asked, "|") != want {
			t.Errorf("asked %q, %v, want %s", asked, err, want)
		}
	}
	r := prometheus.NewRegistry()
	for _, c := range a.Collectors() {
		r.MustRegister(c)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() { // labels are sorted: decision, mode
			got[f.GetName()+" "+m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	if got["apiserver_impersonation_attempts_total legacy allowed"] != 2 || got["apiserver_impersonation_authorization_attempts_total user-info denied"] != 1 {
		t.Errorf("counted %v", got)
	}
}
