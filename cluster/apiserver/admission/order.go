package admission

import (
	"context"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
)

// Mutator is a plugin that may change the object of a request, or refuse the request.
type Mutator interface {
	Admit(context.Context, *Request) error
}

// Validator is a plugin that only refuses. It gets the object as it will be stored.
type Validator interface {
	Validate(context.Context, *Request) error
}

// Settler is a plugin that ends what Admit or Validate began. It is called for every request,
// also when another plugin has refused it.
type Settler interface {
	Settle(ctx context.Context, r *Request, err error)
}

// newChain lists the plugins in their order, which is upstream's where it matters.
func newChain(c Config) (*Chain, error) {
	allocator, err := serviceallocator.New(c.Services, c.Objects, c.Log)
	if err != nil {
		return nil, err
	}
	rights := rights{c.Authorizer}
	podSecurity, err := newPodSecurity(c.PodSecurity, c.Objects, rights)
	if err != nil {
		return nil, err
	}
	limitRanger, serviceAccount := &LimitRanger{c.Objects}, &ServiceAccount{c.Objects}
	priority, runtimeClass := &Priority{c.Objects}, &RuntimeClass{c.Objects}
	escalation := &RBACEscalation{c.Authorizer, c.Log}
	quota := &ResourceQuota{c.Objects, newReservations(c.Quotas, c.Log)}
	services := &ServiceAllocation{allocator}
	chain := &Chain{run: []func(context.Context) error{allocator.Run}}
	if quota.reservations != nil {
		chain.run = append(chain.run, quota.reservations.run)
	}

	chain.mutators = []Mutator{
		&NamespaceLifecycle{c.Objects},
		limitRanger,
		serviceAccount,
		&NodeRestriction{c.Objects},
	}
	if c.Reserved != nil {
		chain.mutators = append(chain.mutators, &NodeAddresses{c.Objects, c.Reserved})
	}
	chain.mutators = append(chain.mutators,
		&ServiceAccountNodeAudienceRestriction{c.Objects, c.Authorizer},
		TaintNodesByCondition{},
		priority,
		runtimeClass,
		DefaultTolerationSeconds{},
		StorageObjectInUseProtection{},
		escalation,
		&CertificateApproval{signers{c.Authorizer}, c.Signer},
		&ControlPlaneLabel{c.Objects},
		&ControlPlaneNodes{rights, c.Objects},
		&DefaultIngressClass{c.Objects},
	)
	for _, w := range c.Webhooks {
		chain.mutators = append(chain.mutators, defaulted{w})
	}
	chain.mutators = append(chain.mutators, quota, services) // services last: only Settle releases its claims

	chain.validators = []Validator{
		priority,
		runtimeClass,
		limitRanger,
		&PersistentVolumeClaimResize{c.Objects},
		&PodResizeValidator{c.Objects},
		&CertificateSigning{signers{c.Authorizer}},
		serviceAccount,
		podSecurity,
	}
	if c.GitRepoByRight {
		chain.validators = append(chain.validators, &GitRepo{rights})
	}
	chain.validators = append(chain.validators,
		&DenyServiceExternalIPs{rights},
		&PodAddresses{c.Objects},
		quota, // last: only Settle releases its reservations
	)
	chain.settlers = []Settler{services, quota, escalation}
	return chain, nil
}

// defaulted is a Mutator from outside, such as a webhook: the object is defaulted again after
// it.
type defaulted struct{ Mutator }

// Admit implements Mutator.
func (d defaulted) Admit(ctx context.Context, r *Request) error {
	err := d.Mutator.Admit(ctx, r)
	if obj, ok := r.Object.(api.Object); ok && err == nil && r.Subresource == "" && r.Kind.Default != nil {
		r.Kind.Default(obj)
	}
	return err
}
