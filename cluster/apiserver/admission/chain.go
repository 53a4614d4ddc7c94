// Package admission is the policy that a write passes between authorization and storage: what
// the cluster sets in a new object (service account, addresses, priority), and what is refused
// although the user may otherwise do it (content for a terminating namespace, a kubelet's
// access beyond its node, a grant of more than one has).
//
// It owns the list of plugins (order.go). It reads the cluster through authz.Objects and
// writes nothing but claims on service addresses and reservations in quotas. Errors are Status
// errors with upstream's messages.
//
// For each write the server must call Admit, which may change the object; then the kind's own
// validation and Validate, which may not; and, when the write has ended, Done, exactly once
// for each Admit.
//
// Each plugin is a file of upstream's name, so there are more than thirty: who looks for a
// plugin finds it by its name.
package admission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

// Verbs of a Request.
const (
	Create  = "create"
	Update  = "update"
	Delete  = "delete"
	Connect = "connect"
)

// Request is one write to be admitted.
type Request struct {
	User *client.User
	Verb string
	// Kind is the stored kind, in whose version the objects are. RequestKind and
	// RequestResource are what the client has named: the same, or another version of it.
	Kind            *api.Kind
	RequestKind     schema.GroupVersionKind
	RequestResource schema.GroupVersionResource
	Namespace       string
	Name            string // may be empty when it is to be generated
	Subresource     string
	Object          runtime.Object // to be written; nil for delete
	Old             runtime.Object // as it is stored; nil for create
	Options         runtime.Object // of the write, such as metav1.CreateOptions; nil for connect
	DryRun          bool

	// Warnings are for the user, of a request that is admitted. AuditAnnotations are for
	// the audit log, of one that is refused too; by upstream's keys.
	Warnings         []string
	AuditAnnotations map[string]string
	// ChangedBy are the plugins that have changed Object; of webhooks, each that was asked.
	ChangedBy []string

	service *serviceallocator.Reservation
	quota   *reservation
}

func (r *Request) resource() schema.GroupResource {
	return schema.GroupResource{Group: r.Kind.Group, Resource: r.Kind.Plural}
}

// changed notes that a plugin has changed the object.
func (r *Request) changed(plugin string) { r.ChangedBy = append(r.ChangedBy, plugin) }

func (r *Request) annotate(key, value string) {
	if r.AuditAnnotations == nil {
		r.AuditAnnotations = map[string]string{}
	}
	r.AuditAnnotations[key] = value
}

// is reports whether r is for the resource itself (sub "") or one of its subresources.
func (r *Request) is(plural, sub string) bool {
	return r.Kind.Group == "" && r.Kind.Plural == plural && r.Subresource == sub
}

// forbidden returns a 403 about r's object.
func (r *Request) forbidden(format string, args ...any) *apierrors.StatusError {
	name := r.Name
	if o, err := meta.Accessor(r.Object); name == "" && err == nil {
		if name = o.GetName(); name == "" {
			name = o.GetGenerateName()
		}
	}
	if name == "" {
		name = "Unknown"
	}
	return apierrors.NewForbidden(r.resource(), name, fmt.Errorf(format, args...))
}

// Authorizer authorizes what plugins demand beside the verb of the request.
type Authorizer interface {
	Authorize(context.Context, authz.Attributes) (allowed bool, reason string, err error)
	Rules(u *client.User, namespace string) ([]rbacv1.PolicyRule, error)
	RoleRules(ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error)
	Refresh(context.Context, schema.GroupResource) error
}

// Config is what a Chain needs.
type Config struct {
	Objects    authz.Objects
	Authorizer Authorizer
	Services   serviceallocator.Config
	Signer     Signer   // nil: certificate requests are not signed
	Reserved   Reserved // nil: nodes may have any name and address
	Quotas     Quotas   // nil: quotas limit nothing
	// PodSecurity is for namespaces without labels; nil is upstream's default.
	PodSecurity *PodSecurityConfig
	// GitRepoByRight restricts gitRepo volumes to users who have the right to them.
	GitRepoByRight bool
	// Webhooks run after the plugins that change objects. The object is defaulted again after
	// each of them.
	Webhooks []Mutator
	Log      *slog.Logger
}

// Chain runs the plugins.
type Chain struct {
	mutators   []Mutator
	validators []Validator
	settlers   []Settler
	run        []func(context.Context) error
}

// New returns a Chain. It starts nothing.
func New(c Config) (*Chain, error) {
	if c.Objects == nil || c.Authorizer == nil {
		return nil, errors.New("admission: Objects and Authorizer are required")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return newChain(c)
}

// Run keeps the account of service addresses and of reservations in quotas until ctx ends.
// Services can be written once it has read those that exist.
func (c *Chain) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, run := range c.run {
		all.Go(func() error { return run(ctx) })
	}
	return all.Wait()
}

// Admit changes r.Object by the policy of the cluster, or refuses r.
func (c *Chain) Admit(ctx context.Context, r *Request) error {
	for _, p := range c.mutators {
		if err := p.Admit(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Validate refuses what Admit or the defaults of the kind have made invalid, and what exceeds
// the limits of its namespace.
func (c *Chain) Validate(ctx context.Context, r *Request) error {
	for _, p := range c.validators {
		if err := p.Validate(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Done ends the write with its outcome; err is nil when it was stored. What the write changes
// in who may do what, or which addresses are free, counts when Done returns.
func (c *Chain) Done(ctx context.Context, r *Request, err error) {
	for _, p := range c.settlers {
		p.Settle(ctx, r, err)
	}
}

// get returns an object, fresh from the store or as the cache has it.
func get[T api.Object](ctx context.Context, objects authz.Objects, r schema.GroupResource, namespace, name string, fresh bool) (T, error) {
	var none T
	o, err := objects.Get(ctx, r, namespace, name, fresh)
	if err != nil {
		return none, err
	}
	obj, ok := o.(T)
	if !ok {
		return none, fmt.Errorf("%s %s is a %T", r, name, o)
	}
	return obj, nil
}

// find returns an object as the cache has it, or from the store when the cache does not.
func find[T api.Object](ctx context.Context, objects authz.Objects, r schema.GroupResource, namespace, name string) (T, error) {
	obj, err := get[T](ctx, objects, r, namespace, name, false)
	if apierrors.IsNotFound(err) {
		return get[T](ctx, objects, r, namespace, name, true)
	}
	return obj, err
}

// list returns the objects of a namespace; of all when it is "".
func list[T api.Object](ctx context.Context, objects authz.Objects, r schema.GroupResource, namespace string, fresh bool) ([]T, error) {
	all, _, err := objects.List(ctx, r, namespace, fresh)
	if err != nil {
		return nil, err
	}
	typed := make([]T, 0, len(all))
	for _, o := range all {
		if obj, ok := o.(T); ok {
			typed = append(typed, obj)
		}
	}
	return typed, nil
}
