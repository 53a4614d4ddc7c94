package admission_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/client"
)

// TestCostOfRules: a short rule that stands for a million permissions is refused before
// they are written out, and the work ends with the request.
func TestCostOfRules(t *testing.T) {
	o := cluster()
	const group = rbacv1.GroupName
	o.Put(group, "clusterroles", &rbacv1.ClusterRole{ObjectMeta: meta("", "mine"), Rules: []rbacv1.PolicyRule{
		{Verbs: []string{"get", "create"}, APIGroups: []string{"", "a"}, Resources: []string{"pods", "roles"}},
	}})
	o.Put(group, "clusterrolebindings", &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta("", "b"),
		RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: "mine"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "bob"}},
	})
	c := newChain(t, o, serviceallocator.Config{})
	request := func(rules ...rbacv1.PolicyRule) *admission.Request {
		return &admission.Request{
			User: &client.User{Name: "bob"}, Verb: admission.Create, Kind: kind(group, "roles"), Namespace: "a", Name: "r",
			Object: &rbacv1.Role{ObjectMeta: meta("a", "r"), Rules: rules},
		}
	}
	many := func(prefix string) []string {
		out := make([]string, 120)
		for i := range out {
			out[i] = fmt.Sprint(prefix, i)
		}
		return out
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := c.Admit(bg, request(rbacv1.PolicyRule{Verbs: many("v"), APIGroups: many("g"), Resources: many("r")}))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "attempting to grant 1728000 RBAC permissions, too many to compare") {
		t.Errorf("a million permissions: %.200v", err)
	}
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 8 {
		t.Errorf("it took %d MB", used)
	}
	var rules []rbacv1.PolicyRule
	for i := range 5000 {
		rules = append(rules, rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{fmt.Sprint("r", i)}})
	}
	if err := c.Admit(bg, request(rules...)); err == nil || strings.Count(err.Error(), "\n") != 5000 {
		t.Errorf("many rules: %.200v", err)
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if err := c.Admit(ctx, request(rules...)); !errors.Is(err, context.Canceled) {
		t.Errorf("without a client: %.200v", err)
	}
}
