package admission

import (
	"context"
	"fmt"

	"wheelhouse/cluster/apiserver/authz"
)

// right is the verb use on a resource that stands for fields which not every user
// who may write the objects may write. README.md lists them.
type right struct {
	resource, subresource string
	// cluster: it reaches beyond the namespace of the object, so that a role in the
	// namespace does not give it.
	cluster bool
}

var (
	externalAddressRight = right{resource: "services", subresource: "externalips", cluster: true}
	controlPlaneRight    = right{resource: "nodes", subresource: "controlplane", cluster: true}
	podSecurityRight     = right{resource: "namespaces", subresource: "podsecurity", cluster: true}
	gitRepoRight         = right{resource: "pods", subresource: "gitrepo"}
)

// rights checks rights, for the plugins that embed it.
type rights struct{ authorizer Authorizer }

// holds reports whether r's user has a right.
func (c rights) holds(ctx context.Context, r *Request, x right) (bool, error) {
	at := authz.Attributes{
		User: r.User, Verb: "use", Version: "v1", Resource: x.resource, Subresource: x.subresource, ResourceRequest: true,
	}
	if !x.cluster {
		at.Namespace = r.Namespace
	}
	allowed, _, err := c.authorizer.Authorize(ctx, at)
	if err != nil {
		return false, fmt.Errorf("authorizing the use of %s/%s: %w", x.resource, x.subresource, err)
	}
	return allowed, nil
}

// demand refuses r, with a reason, if its user does not have a right.
func (c rights) demand(ctx context.Context, r *Request, x right, format string, args ...any) error {
	ok, err := c.holds(ctx, r, x)
	if ok || err != nil {
		return err
	}
	return r.forbidden(format, args...)
}
