package admission

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-helpers/auth/rbac/validation"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authz"
)

// everything is what a user must have to write a role that aggregates others.
var everything = []rbacv1.PolicyRule{
	{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
}

// RBACEscalation refuses grants of more than the user has, unless a role gives them the verb
// escalate (for roles) or bind (for bindings). Any change counts, because labels grant too:
// they select the roles that others aggregate. Upstream does this in the registry of RBAC.
type RBACEscalation struct {
	authorizer Authorizer
	log        *slog.Logger
}

// Settle implements Settler: what a write changes in who may do what counts when it returns.
func (p *RBACEscalation) Settle(ctx context.Context, r *Request, err error) {
	if err != nil || r.DryRun || r.Kind.Group != rbacv1.GroupName {
		return
	}
	if err := p.authorizer.Refresh(ctx, r.resource()); err != nil {
		p.log.Warn("a change of roles takes effect late", "resource", r.resource().String(), "err", err)
	}
}

// Admit implements Mutator.
func (p *RBACEscalation) Admit(ctx context.Context, r *Request) error {
	if r.Kind.Group != rbacv1.GroupName || r.Subresource != "" || (r.Verb != Create && r.Verb != Update) ||
		r.User == nil || r.User.InGroup("system:masters") {
		return nil
	}
	if r.Verb == Update && onlyGarbageCollection(r.Object, r.Old) {
		return nil
	}
	switch o := r.Object.(type) {
	case *rbacv1.Role:
		return p.role(ctx, r, o.Name, o.Rules)
	case *rbacv1.ClusterRole:
		return p.clusterRole(ctx, r, o)
	case *rbacv1.RoleBinding:
		return p.binding(ctx, r, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		return p.binding(ctx, r, o.RoleRef)
	}
	return nil
}

// onlyGarbageCollection reports whether an update changes nothing but the fields that the
// garbage collector writes, and managed fields; as upstream's IsOnlyMutatingGCFields.
func onlyGarbageCollection(obj, old runtime.Object) bool {
	next, ok := obj.DeepCopyObject().(api.Object)
	was, ok2 := old.(api.Object)
	if !ok || !ok2 {
		return false
	}
	next.SetOwnerReferences(was.GetOwnerReferences())
	next.SetFinalizers(was.GetFinalizers())
	next.SetManagedFields(was.GetManagedFields())
	return equality.Semantic.DeepEqual(next, was)
}

func (p *RBACEscalation) role(ctx context.Context, r *Request, name string, rules []rbacv1.PolicyRule) error {
	may, err := p.may(ctx, r, "escalate", r.Kind.Plural, name)
	if may || err != nil {
		return err
	}
	return p.confirm(ctx, r, rules)
}

// clusterRole demands everything for an aggregation rule, before the update or after it: what
// an aggregated role will have is not known.
func (p *RBACEscalation) clusterRole(ctx context.Context, r *Request, role *rbacv1.ClusterRole) error {
	may, err := p.may(ctx, r, "escalate", r.Kind.Plural, role.Name)
	if may || err != nil {
		return err
	}
	if err := p.confirm(ctx, r, role.Rules); err != nil {
		return err
	}
	old, _ := r.Old.(*rbacv1.ClusterRole)
	if role.AggregationRule == nil && (old == nil || old.AggregationRule == nil) {
		return nil
	}
	if err := p.confirm(ctx, r, everything); err != nil {
		return r.forbidden("must have cluster-admin privileges to use the aggregationRule")
	}
	return nil
}

func (p *RBACEscalation) binding(ctx context.Context, r *Request, ref rbacv1.RoleRef) error {
	resource := "clusterroles"
	if ref.Kind == "Role" {
		resource = "roles"
	}
	may, err := p.may(ctx, r, "bind", resource, ref.Name)
	if may || err != nil {
		return err
	}
	rules, err := p.authorizer.RoleRules(ref, r.Namespace)
	if err != nil {
		return apierrors.NewNotFound(rbacv1.Resource(resource), ref.Name)
	}
	return p.confirm(ctx, r, rules)
}

func (p *RBACEscalation) may(ctx context.Context, r *Request, verb, resource, name string) (bool, error) {
	allowed, _, err := p.authorizer.Authorize(ctx, authz.Attributes{
		User: r.User, Verb: verb, Namespace: r.Namespace, Group: rbacv1.GroupName, Version: "v1",
		Resource: resource, Name: name, ResourceRequest: true,
	})
	if err != nil {
		return false, fmt.Errorf("authorizing %s: %w", verb, err)
	}
	return allowed, nil
}

// maxComparisons bounds how many permissions (one verb on one resource) are compared with how
// many names in rules: a rule of 2 kB can stand for a million permissions.
const maxComparisons = 10_000_000

// confirm refuses rules that the user does not have in r's namespace.
func (p *RBACEscalation) confirm(ctx context.Context, r *Request, rules []rbacv1.PolicyRule) error {
	have, unresolved := p.authorizer.Rules(r.User, r.Namespace)
	have = distinct(have)
	if n := permissions(rules); n > maxComparisons/(1+names(have)) {
		return r.forbidden("user %q (groups=%q) is attempting to grant %d RBAC permissions, too many to compare with the %d rules currently held: grant fewer with one role",
			r.User.Name, r.User.Groups, n, len(have))
	}
	var missing []rbacv1.PolicyRule
	for i := range rules {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, more := validation.Covers(have, rules[i:i+1])
		missing = append(missing, more...)
	}
	if len(missing) == 0 {
		return nil
	}
	message := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		r.User.Name, r.User.Groups, strings.Join(compact(missing), "\n"))
	if unresolved != nil {
		message += fmt.Sprintf("; resolution errors: [%v]", unresolved)
	}
	return r.forbidden("%s", message)
}

// permissions returns how many single permissions rules stand for, at most math.MaxInt32.
func permissions(rules []rbacv1.PolicyRule) int {
	sum := 0
	for i := range rules {
		r := &rules[i]
		n := 1
		for _, factor := range []int{len(r.APIGroups), len(r.Resources), max(1, len(r.ResourceNames))} {
			n = min(n*factor, math.MaxInt32)
		}
		n = (n + len(r.NonResourceURLs)) * len(r.Verbs)
		sum = min(sum+n, math.MaxInt32)
	}
	return sum
}

// names returns how many verbs, groups, resources, names and paths rules have.
func names(rules []rbacv1.PolicyRule) int {
	n := 0
	for i := range rules {
		r := &rules[i]
		n += len(r.Verbs) + len(r.APIGroups) + len(r.Resources) + len(r.ResourceNames) + len(r.NonResourceURLs)
	}
	return n
}

// distinct returns rules without duplicates.
func distinct(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	known := make(map[string]bool, len(rules))
	out := rules[:0:0]
	for _, r := range rules {
		if key := ruleString(r); !known[key] {
			known[key] = true
			out = append(out, r)
		}
	}
	return out
}

// compact joins rules that differ in the verb only.
func compact(rules []rbacv1.PolicyRule) []string {
	merged := map[string]*rbacv1.PolicyRule{}
	for _, r := range rules {
		verbs := r.Verbs
		r.Verbs = nil
		key := ruleString(r)
		if merged[key] == nil {
			merged[key] = &r
		}
		merged[key].Verbs = append(merged[key].Verbs, verbs...)
	}
	var out []string
	for _, r := range merged {
		out = append(out, ruleString(*r))
	}
	slices.Sort(out)
	return out
}

func ruleString(r rbacv1.PolicyRule) string {
	var parts []string
	add := func(name string, values []string) {
		if len(values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", name, values))
		}
	}
	add("APIGroups", r.APIGroups)
	add("Resources", r.Resources)
	add("NonResourceURLs", r.NonResourceURLs)
	add("ResourceNames", r.ResourceNames)
	add("Verbs", r.Verbs)
	return "{" + strings.Join(parts, ", ") + "}"
}
