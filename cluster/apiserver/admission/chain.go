// Package admission is the policy that a write passes between authorization and
// storage: what a new object gets from the cluster (service account, addresses,
// priority), and what is refused although the user might otherwise do it
// (content for a namespace that is going, a kubelet's reach beyond its node, a
// grant of more than one has).
//
// For each write the server calls Admit, which may change the object; then the
// kind's own validation and Validate, which may not; and, when the write has
// ended, Done, exactly once for each Admit. Errors are Status errors with
// upstream's messages. The package writes nothing but claims on service addresses and
// places in quotas.
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

// Request is one write that wants to be admitted.
type Request struct {
	User        *client.User
	Verb        string
	Kind        *api.Kind
	Namespace   string
	Name        string // may be empty when it is to be generated
	Subresource string
	Object      runtime.Object // what shall be written; nil for delete
	Old         runtime.Object // what is there; nil for create
	DryRun      bool

	// Warnings are for the user, of a request that is admitted. AuditAnnotations are for
	// the audit log, of one that is refused too; by upstream's keys.
	Warnings         []string
	AuditAnnotations map[string]string

	reservation *reservation // of service addresses
	place       *place       // in quotas
}

func (r *Request) resource() schema.GroupResource {
	return schema.GroupResource{Group: r.Kind.Group, Resource: r.Kind.Plural}
}

func (r *Request) annotate(key, value string) {
	if r.AuditAnnotations == nil {
		r.AuditAnnotations = map[string]string{}
	}
	r.AuditAnnotations[key] = value
}

// is reports whether r is for the resource itself (sub "") or one of its parts.
func (r *Request) is(group, plural, sub string) bool {
	return r.Kind.Group == group && r.Kind.Plural == plural && r.Subresource == sub
}

// forbidden is a 403 about r's object.
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

// Authorizer is what the checks of grants need.
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
	Services   ServicesConfig
	Signer     Signer   // nil: nobody signs certificate requests
	Reserved   Reserved // nil: nodes may have any name and address
	Quotas     Quotas   // nil: quotas limit nothing
	// PodSecurity is for namespaces without labels; nil is upstream's default.
	PodSecurity *PodSecurityConfig
	// GitRepoByRight leaves gitRepo volumes to those who have the right to them.
	GitRepoByRight bool
	Log            *slog.Logger
}

// Chain is all of admission.
type Chain struct {
	objects    authz.Objects
	authorizer Authorizer
	services   *allocator
	signer     Signer
	reserved   Reserved
	quotas     *places // nil: quotas limit nothing
	log        *slog.Logger

	podsecurity    *podSecurityPlugin
	gitRepoByRight bool
}

// New makes a Chain.
func New(c Config) (*Chain, error) {
	if c.Objects == nil || c.Authorizer == nil {
		return nil, errors.New("admission: Objects and Authorizer are required")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s, err := newAllocator(c.Services, c.Objects, c.Log)
	if err != nil {
		return nil, err
	}
	security, err := newPodSecurity(c.PodSecurity, c.Objects)
	if err != nil {
		return nil, err
	}
	return &Chain{
		podsecurity: security, gitRepoByRight: c.GitRepoByRight,
		objects: c.Objects, authorizer: c.Authorizer, services: s, signer: c.Signer, reserved: c.Reserved, log: c.Log,
		quotas: newPlaces(c.Quotas, c.Log),
	}, nil
}

// Run keeps the account of service addresses and of places in quotas until ctx ends.
// Services can be written once it has read those that exist.
func (c *Chain) Run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return c.services.run(ctx) })
	if c.quotas != nil {
		all.Go(func() error { return c.quotas.run(ctx) })
	}
	return all.Wait()
}

// Admit changes r.Object as the cluster's policy wants it, or refuses r.
func (c *Chain) Admit(ctx context.Context, r *Request) error {
	for _, step := range []func(context.Context, *Request) error{
		c.namespaceLifecycle,
		c.limitDefaults,
		c.serviceAccount,
		c.nodeRestriction,
		c.nodeAddresses,
		c.tokenAudience,
		c.taintNewNode,
		c.priority,
		c.runtimeClass,
		c.tolerations,
		c.storageInUse,
		c.escalation,
		c.certificate,
		c.controlPlaneLabel,
		c.keepOffControlPlane,
		c.keepReservations,
		c.services.admit, // last: what it takes is given back only by Done
	} {
		if err := step(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Validate refuses what Admit's changes, or the kind's defaults, made wrong, and what
// is more than its namespace may hold.
func (c *Chain) Validate(ctx context.Context, r *Request) error {
	for _, step := range []func(context.Context, *Request) error{
		c.defaultPriorityClass,
		c.overheadFits,
		c.limitChecks,
		c.claimCanGrow,
		c.resizeFits,
		c.signing,
		c.debugSecrets,
		c.podSecurity,
		c.gitRepo,
		c.externalAddresses,
		c.podAddresses,
		c.quota, // last: what it takes is given back only by Done
	} {
		if err := step(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Done is told how the write ended; err is nil when it is acknowledged. What the
// write changes in who may do what, or which addresses are free, counts when it
// returns.
func (c *Chain) Done(ctx context.Context, r *Request, err error) {
	c.services.done(ctx, r, err)
	c.quotas.settle(r.place)
	if err != nil || r.DryRun || r.Kind.Group != rbacv1.GroupName {
		return
	}
	if err := c.authorizer.Refresh(ctx, r.resource()); err != nil {
		c.log.Warn("a change of roles takes effect late", "resource", r.resource().String(), "err", err)
	}
}
