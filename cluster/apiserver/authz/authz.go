// Package authz decides whether a user may do what a request asks: RBAC over the
// Role, ClusterRole and binding objects of the cluster, the node authorizer for
// kubelets, and the short cut for system:masters.
//
// An Authorizer keeps the RBAC objects in memory, compiled per subject, and
// follows them by watch. Run must be running; a writer of RBAC objects calls
// Refresh before it answers, so that whoever got the answer also gets the effect.
// Nothing is cached beyond the compiled index, so a decision is never older than
// the objects. The package never writes.
package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/client"
)

// Attributes is what a request wants to do.
type Attributes struct {
	User            *client.User
	Verb            string
	Namespace       string
	Group, Version  string
	Resource        string
	Subresource     string
	Name            string
	Path            string // of a request that is not for a resource
	ResourceRequest bool
	// FieldSelector is what a list or watch is narrowed to; all of it holds.
	FieldSelector fields.Requirements
}

// Objects reads the cluster's state; FromStore gives one.
type Objects interface {
	// Get and List read from the cache, or, if fresh, what has seen every
	// acknowledged write. They answer with shared objects and, for List, the
	// revision that the list is of.
	Get(ctx context.Context, r schema.GroupResource, namespace, name string, fresh bool) (api.Object, error)
	List(ctx context.Context, r schema.GroupResource, namespace string, fresh bool) ([]api.Object, int64, error)
	// Watch sends what changes after revision. The channel is closed when the
	// watch is broken; the caller lists again.
	Watch(ctx context.Context, r schema.GroupResource, revision int64) (<-chan Change, error)
}

// Change is one event of a watch.
type Change struct {
	Type     watch.EventType // Added, Modified or Deleted
	Object   api.Object
	Revision int64
}

// Config is what an Authorizer needs.
type Config struct {
	Objects Objects
	Log     *slog.Logger
}

// Authorizer answers who may do what.
type Authorizer struct {
	objects Objects
	log     *slog.Logger
	rbac    *rbacCache
}

// New makes an Authorizer. It denies all but system:masters until Run has read
// the roles.
func New(c Config) (*Authorizer, error) {
	if c.Objects == nil {
		return nil, errors.New("authz: Objects is required")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Authorizer{objects: c.Objects, log: c.Log, rbac: newRBACCache(c.Objects, c.Log)}, nil
}

// Run follows the RBAC objects until ctx ends.
func (a *Authorizer) Run(ctx context.Context) error { return a.rbac.run(ctx) }

// WaitReady waits until the RBAC objects have been read once.
func (a *Authorizer) WaitReady(ctx context.Context) error { return a.rbac.waitReady(ctx) }

// Refresh makes acknowledged writes of r's objects count at once. Resources that
// are not RBAC's need no refresh.
func (a *Authorizer) Refresh(ctx context.Context, r schema.GroupResource) error {
	return a.rbac.refresh(ctx, r)
}

const (
	masters   = "system:masters"
	nodes     = "system:nodes"
	nodeUser  = "system:node:"
	accountOf = "system:serviceaccount:"
)

// Authorize decides. The reason says why not, or which binding allowed it; it is
// for the answer to the user. An error means that there is no decision.
func (a *Authorizer) Authorize(ctx context.Context, at Attributes) (allowed bool, reason string, err error) {
	if at.User == nil {
		return false, "no user", nil
	}
	if at.User.InGroup(masters) {
		return true, "", nil
	}
	why := ""
	if node := nodeName(at.User); node != "" {
		if allowed, why, err = a.authorizeNode(ctx, node, &at); allowed || err != nil {
			return allowed, why, err
		}
	}
	allowed, reason = a.rbac.policy().allows(&at)
	if !allowed && why != "" {
		reason = strings.TrimPrefix(reason+", "+why, ", ")
	}
	return allowed, reason, nil
}

// Rules is everything that RBAC lets u do in namespace ("" is the cluster
// scope), with what could not be resolved.
func (a *Authorizer) Rules(u *client.User, namespace string) ([]rbacv1.PolicyRule, error) {
	if u.InGroup(masters) {
		return []rbacv1.PolicyRule{
			{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
			{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
		}, nil
	}
	rules, missing := a.rbac.policy().rules(u, namespace)
	if nodeName(u) != "" {
		for _, r := range nodeRules {
			rules = append(rules, r.PolicyRule)
		}
	}
	return rules, joinMissing(missing)
}

// RoleRules is what a role named in a binding grants; namespace is the binding's,
// "" for a ClusterRoleBinding.
func (a *Authorizer) RoleRules(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	g := a.rbac.policy().role(ref, namespace)
	if g == nil {
		return nil, errors.New(notFound(ref))
	}
	return g.plain(), nil
}

func joinMissing(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return errors.New(strings.Join(missing, ", "))
}

func notFound(ref rbacv1.RoleRef) string {
	return fmt.Sprintf("%s.%s %q not found", strings.ToLower(ref.Kind), rbacv1.GroupName, ref.Name)
}

// nodeName is the node that u is the kubelet of, or "".
func nodeName(u *client.User) string {
	name, ok := strings.CutPrefix(u.Name, nodeUser)
	if !ok || !u.InGroup(nodes) {
		return ""
	}
	return name
}
