package admission

import (
	"context"
	"fmt"
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

// everything is what one must have to write a role that aggregates others.
var everything = []rbacv1.PolicyRule{
	{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
}

// escalation lets nobody grant more than they have themselves, unless a role
// gives them the verb escalate (for roles) or bind (for bindings). Any change counts,
// because labels grant too: a role of which others consist is found by them.
func (c *Chain) escalation(ctx context.Context, r *Request) error {
	if r.Kind.Group != rbacv1.GroupName || r.Subresource != "" || (r.Verb != Create && r.Verb != Update) ||
		r.User == nil || r.User.InGroup("system:masters") {
		return nil
	}
	if r.Verb == Update && onlyGarbageCollection(r.Object, r.Old) {
		return nil
	}
	switch o := r.Object.(type) {
	case *rbacv1.Role:
		return c.role(ctx, r, o.Name, o.Rules)
	case *rbacv1.ClusterRole:
		return c.clusterRole(ctx, r, o)
	case *rbacv1.RoleBinding:
		return c.binding(ctx, r, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		return c.binding(ctx, r, o.RoleRef)
	}
	return nil
}

// onlyGarbageCollection reports whether an update changes nothing but what the garbage
// collector writes to let an object go, and notes of who owns which field; as upstream's
// IsOnlyMutatingGCFields.
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

func (c *Chain) role(ctx context.Context, r *Request, name string, rules []rbacv1.PolicyRule) error {
	may, err := c.may(ctx, r, "escalate", r.Kind.Plural, name)
	if may || err != nil {
		return err
	}
	return c.confirm(r, rules)
}

// clusterRole: what an aggregated role will have is not known, so that only who has
// everything may write, or have written, the rule for it.
func (c *Chain) clusterRole(ctx context.Context, r *Request, role *rbacv1.ClusterRole) error {
	may, err := c.may(ctx, r, "escalate", r.Kind.Plural, role.Name)
	if may || err != nil {
		return err
	}
	if err := c.confirm(r, role.Rules); err != nil {
		return err
	}
	old, _ := r.Old.(*rbacv1.ClusterRole)
	if role.AggregationRule == nil && (old == nil || old.AggregationRule == nil) {
		return nil
	}
	if err := c.confirm(r, everything); err != nil {
		return r.forbidden("must have cluster-admin privileges to use the aggregationRule")
	}
	return nil
}

func (c *Chain) binding(ctx context.Context, r *Request, ref rbacv1.RoleRef) error {
	resource := "clusterroles"
	if ref.Kind == "Role" {
		resource = "roles"
	}
	may, err := c.may(ctx, r, "bind", resource, ref.Name)
	if may || err != nil {
		return err
	}
	rules, err := c.authorizer.RoleRules(ref, r.Namespace)
	if err != nil {
		return apierrors.NewNotFound(rbacv1.Resource(resource), ref.Name)
	}
	return c.confirm(r, rules)
}

func (c *Chain) may(ctx context.Context, r *Request, verb, resource, name string) (bool, error) {
	allowed, _, err := c.authorizer.Authorize(ctx, authz.Attributes{
		User: r.User, Verb: verb, Namespace: r.Namespace, Group: rbacv1.GroupName, Version: "v1",
		Resource: resource, Name: name, ResourceRequest: true,
	})
	if err != nil {
		return false, fmt.Errorf("authorizing %s: %w", verb, err)
	}
	return allowed, nil
}

// confirm refuses rules that the user does not have in r's namespace.
func (c *Chain) confirm(r *Request, rules []rbacv1.PolicyRule) error {
	have, unresolved := c.authorizer.Rules(r.User, r.Namespace)
	covered, missing := validation.Covers(have, rules)
	if covered {
		return nil
	}
	message := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		r.User.Name, r.User.Groups, strings.Join(compact(missing), "\n"))
	if unresolved != nil {
		message += fmt.Sprintf("; resolution errors: [%v]", unresolved)
	}
	return r.forbidden("%s", message)
}

// compact writes rules of one verb each shorter: those that differ in the verb
// only become one.
func compact(rules []rbacv1.PolicyRule) []string {
	var merged []rbacv1.PolicyRule
	for _, r := range rules {
		i := slices.IndexFunc(merged, func(m rbacv1.PolicyRule) bool {
			return slices.Equal(m.APIGroups, r.APIGroups) && slices.Equal(m.Resources, r.Resources) &&
				slices.Equal(m.ResourceNames, r.ResourceNames) && slices.Equal(m.NonResourceURLs, r.NonResourceURLs)
		})
		if i < 0 {
			r.Verbs = slices.Clone(r.Verbs)
			merged = append(merged, r)
		} else {
			merged[i].Verbs = append(merged[i].Verbs, r.Verbs...)
		}
	}
	var out []string
	for _, r := range merged {
		out = append(out, ruleString(r))
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
