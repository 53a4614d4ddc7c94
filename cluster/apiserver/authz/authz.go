// Package authz decides whether a user may do what a request is for: RBAC over the
// Role, ClusterRole and binding objects of the cluster, the node authorizer for
// kubelets, and the shortcut for system:masters.
//
// An Authorizer keeps the RBAC objects in memory, compiled per subject, and
// follows them by watch. Run must be running; a writer of RBAC objects calls
// Refresh before it answers, so that the write has taken effect when the client has the
// answer. Nothing is cached beyond the compiled index, so a decision is never older than
// the objects. The package never writes.
package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/client"
)

// Attributes describe a request to the authorizer, as upstream's.
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
	// FieldSelector restricts a list or watch; all of its requirements hold.
	FieldSelector fields.Requirements
}

// Objects reads the cluster's state; FromStore returns one.
type Objects interface {
	// Get and List read from the cache, or, if fresh, a state with every acknowledged
	// write. They return shared objects and, for List, its revision.
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

// Authorizer decides who may do what.
type Authorizer struct {
	objects Objects
	log     *slog.Logger
	rbac    *rbacCache
}

// New returns an Authorizer. It denies all but system:masters until Run has read
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

// Refresh applies acknowledged writes of r's objects at once. Resources that are not RBAC's
// need no refresh.
func (a *Authorizer) Refresh(ctx context.Context, r schema.GroupResource) error {
	return a.rbac.refresh(ctx, r)
}

const (
	masters   = "system:masters"
	nodes     = "system:nodes"
	nodeUser  = "system:node:"
	accountOf = "system:serviceaccount:"
)

// readyWait is how long a request waits at most for the RBAC objects at the server's start.
const readyWait = 10 * time.Second

// Authorize decides; nothing is refused before the RBAC objects have been read. The reason says why not, or which binding allowed it; it is
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
	if !allowed && !a.rbac.isReady() {
		wait, cancel := context.WithTimeout(ctx, readyWait)
		defer cancel()
		if err := a.rbac.waitReady(wait); err != nil {
			return false, "", fmt.Errorf("the server has just started: %w", err)
		}
		allowed, reason = a.rbac.policy().allows(&at)
	}
	if !allowed && why != "" {
		reason = strings.TrimPrefix(reason+", "+why, ", ")
	}
	return allowed, reason, nil
}

// Rules returns all rules of u in namespace ("" is the cluster scope), with an error for what
// could not be resolved.
func (a *Authorizer) Rules(u *client.User, namespace string) ([]rbacv1.PolicyRule, error) {
	rules, missing := a.rbac.policy().rules(u, namespace)
	if u.InGroup(masters) {
		rules = append([]rbacv1.PolicyRule{
			{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
			{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
		}, rules...)
	}
	if nodeName(u) != "" {
		for _, r := range nodeRules {
			rules = append(rules, r.PolicyRule)
		}
	}
	return rules, joinMissing(missing)
}

// RoleRules returns what a role named in a binding grants; namespace is the binding's,
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

// nodeName returns the node whose kubelet u is, or "".
func nodeName(u *client.User) string {
	name, ok := strings.CutPrefix(u.Name, nodeUser)
	if !ok || !u.InGroup(nodes) {
		return ""
	}
	return name
}
