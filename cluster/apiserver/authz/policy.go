package authz

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/client"
)

// policy has all RBAC objects at one time, compiled: what each subject has, by namespace. It
// never changes.
type policy struct {
	cluster      map[subject][]grant
	namespaced   map[string]map[subject][]grant
	roles        map[string]*role // by namespace/name
	clusterRoles map[string]*role
}

// subject is a user or a group; a service account is a user.
type subject struct {
	group bool
	name  string
}

// grant is one subject's part of one binding.
type grant struct {
	role    *role // nil: the role does not exist
	ref     rbacv1.RoleRef
	binding string // for the reason: `RoleBinding "x/y"`
	to      string // for the reason: `User "jane"`
}

// role is the rules of a role, aggregation resolved.
type role struct{ rules []rule }

// rule is a PolicyRule with what is often read of it.
type rule struct {
	rbacv1.PolicyRule
	anyVerb bool
}

func (r *role) plain() []rbacv1.PolicyRule {
	out := make([]rbacv1.PolicyRule, len(r.rules))
	for i := range r.rules {
		out[i] = r.rules[i].PolicyRule
	}
	return out
}

// compile returns the policy of the objects.
func compile(roles []*rbacv1.Role, clusterRoles []*rbacv1.ClusterRole,
	bindings []*rbacv1.RoleBinding, clusterBindings []*rbacv1.ClusterRoleBinding,
) *policy {
	p := &policy{
		cluster:      map[subject][]grant{},
		namespaced:   map[string]map[subject][]grant{},
		roles:        map[string]*role{},
		clusterRoles: aggregate(clusterRoles),
	}
	for _, r := range roles {
		p.roles[r.Namespace+"/"+r.Name] = newRole(r.Rules)
	}
	for _, b := range clusterBindings {
		p.bind(p.cluster, b.Subjects, b.RoleRef, "", fmt.Sprintf("ClusterRoleBinding %q", b.Name))
	}
	for _, b := range bindings {
		in := p.namespaced[b.Namespace]
		if in == nil {
			in = map[subject][]grant{}
			p.namespaced[b.Namespace] = in
		}
		p.bind(in, b.Subjects, b.RoleRef, b.Namespace, fmt.Sprintf("RoleBinding %q", b.Name+"/"+b.Namespace))
	}
	return p
}

func newRole(rules []rbacv1.PolicyRule) *role {
	r := &role{}
	r.add(rules)
	return r
}

func (r *role) add(rules []rbacv1.PolicyRule) {
	for _, pr := range rules {
		r.rules = append(r.rules, rule{PolicyRule: pr, anyVerb: slices.Contains(pr.Verbs, rbacv1.VerbAll)})
	}
}

// aggregate resolves aggregationRule: such a role has the rules of all that its selectors
// match, and not its own. Roles may aggregate each other.
func aggregate(all []*rbacv1.ClusterRole) map[string]*role {
	out := make(map[string]*role, len(all))
	for _, cr := range all {
		out[cr.Name] = newRole(AggregatedRules(cr, all))
	}
	return out
}

// AggregatedRules returns what cr grants, given all ClusterRoles: its rules, or, if it
// aggregates, those of the roles that it selects, in the order of their names,
// each rule once.
func AggregatedRules(cr *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) []rbacv1.PolicyRule {
	if cr.AggregationRule == nil {
		return cr.Rules
	}
	var rules []rbacv1.PolicyRule
	known := map[string]bool{}
	collect(cr, all, map[string]bool{}, func(r rbacv1.PolicyRule) {
		if key := r.String(); !known[key] {
			known[key] = true
			rules = append(rules, r)
		}
	})
	return rules
}

func collect(cr *rbacv1.ClusterRole, all []*rbacv1.ClusterRole, visited map[string]bool, add func(rbacv1.PolicyRule)) {
	if visited[cr.Name] {
		return
	}
	visited[cr.Name] = true
	if cr.AggregationRule == nil {
		for _, r := range cr.Rules {
			add(r)
		}
		return
	}
	var found []*rbacv1.ClusterRole
	for i := range cr.AggregationRule.ClusterRoleSelectors {
		s, err := metav1.LabelSelectorAsSelector(&cr.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			continue // validation keeps such a selector out
		}
		for _, other := range all {
			if s.Matches(labels.Set(other.Labels)) {
				found = append(found, other)
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	for _, other := range found {
		collect(other, all, visited, add)
	}
}

func (p *policy) bind(in map[subject][]grant, subjects []rbacv1.Subject, ref rbacv1.RoleRef, namespace, binding string) {
	g := grant{role: p.role(ref, namespace), ref: ref, binding: binding}
	for _, s := range subjects {
		g.to = fmt.Sprintf("%s %q", s.Kind, s.Name)
		switch s.Kind {
		case rbacv1.UserKind:
			in[subject{name: s.Name}] = append(in[subject{name: s.Name}], g)
		case rbacv1.GroupKind:
			key := subject{group: true, name: s.Name}
			in[key] = append(in[key], g)
		case rbacv1.ServiceAccountKind:
			ns := s.Namespace
			if ns == "" {
				ns = namespace
			}
			g.to = fmt.Sprintf("%s %q", s.Kind, s.Name+"/"+ns)
			key := subject{name: accountOf + ns + ":" + s.Name}
			in[key] = append(in[key], g)
		}
	}
}

func (p *policy) role(ref rbacv1.RoleRef, namespace string) *role {
	if ref.Kind == "Role" {
		return p.roles[namespace+"/"+ref.Name]
	}
	return p.clusterRoles[ref.Name]
}

// visit calls f with every grant that u has in namespace, cluster-wide ones
// first, until f returns false.
func (p *policy) visit(u *client.User, namespace string, f func(*grant) bool) {
	if !visitIn(p.cluster, u, f) || namespace == "" {
		return
	}
	visitIn(p.namespaced[namespace], u, f)
}

func visitIn(in map[subject][]grant, u *client.User, f func(*grant) bool) bool {
	if len(in) == 0 {
		return true
	}
	if !visitGrants(in[subject{name: u.Name}], f) {
		return false
	}
	for _, g := range u.Groups {
		if !visitGrants(in[subject{group: true, name: g}], f) {
			return false
		}
	}
	return true
}

func visitGrants(grants []grant, f func(*grant) bool) bool {
	for i := range grants {
		if !f(&grants[i]) {
			return false
		}
	}
	return true
}

// allows reports whether the policy allows at, with upstream's reason.
func (p *policy) allows(at *Attributes) (bool, string) {
	var by *grant
	var missing []string
	p.visit(at.User, at.Namespace, func(g *grant) bool {
		if g.role == nil {
			missing = append(missing, notFound(g.ref))
			return true
		}
		for i := range g.role.rules {
			if g.role.rules[i].allows(at) {
				by = g
				return false
			}
		}
		return true
	})
	if by != nil {
		return true, fmt.Sprintf("RBAC: allowed by %s of %s %q to %s", by.binding, by.ref.Kind, by.ref.Name, by.to)
	}
	if len(missing) > 0 {
		return false, "RBAC: " + strings.Join(dedupe(missing), ", ")
	}
	return false, ""
}

func (p *policy) rules(u *client.User, namespace string) (rules []rbacv1.PolicyRule, missing []string) {
	p.visit(u, namespace, func(g *grant) bool {
		if g.role == nil {
			missing = append(missing, notFound(g.ref))
		} else {
			rules = append(rules, g.role.plain()...)
		}
		return true
	})
	return rules, dedupe(missing)
}

func dedupe(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// allows follows rbac/v1 helpers: verbs, groups, resources (with subresources),
// names; or verbs and paths.
func (r *rule) allows(at *Attributes) bool {
	if !r.anyVerb && !slices.Contains(r.Verbs, at.Verb) {
		return false
	}
	if !at.ResourceRequest {
		return pathMatches(r.NonResourceURLs, at.Path)
	}
	return hasOrAll(r.APIGroups, at.Group) && resourceMatches(r.Resources, at.Resource, at.Subresource) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, at.Name))
}

func hasOrAll(set []string, s string) bool {
	for _, x := range set {
		if x == "*" || x == s {
			return true
		}
	}
	return false
}

// resourceMatches takes "*", "pods", "pods/log" and "*/scale".
func resourceMatches(set []string, resource, sub string) bool {
	for _, x := range set {
		if x == "*" {
			return true
		}
		if sub == "" {
			if x == resource {
				return true
			}
			continue
		}
		head, tail, ok := strings.Cut(x, "/")
		if ok && tail == sub && (head == resource || head == "*") {
			return true
		}
	}
	return false
}

func pathMatches(set []string, path string) bool {
	for _, x := range set {
		if x == "*" || x == path {
			return true
		}
		if prefix, ok := strings.CutSuffix(x, "*"); ok && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}
