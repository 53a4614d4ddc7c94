package store

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/api"
)

// Create writes a new object; AlreadyExists if there is one of that name. obj is read
// and not kept.
func (c *Collection) Create(ctx context.Context, obj api.Object) (*Item, error) {
	key, ok := c.key(obj.GetNamespace(), obj.GetName())
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("no %s can have the namespace %q and the name %q", c.format.kind.Kind, obj.GetNamespace(), obj.GetName()))
	}
	if err := c.store.WaitReady(ctx); err != nil {
		return nil, timeout(err)
	}
	body, err := encodeBody(c.format.kind, obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := c.roomForNew(obj, len(body)); err != nil {
		return nil, err
	}
	resp, err := c.commit(ctx, key, 0, body)
	if err != nil {
		return nil, err
	}
	if !resp.Succeeded {
		return nil, apierrors.NewAlreadyExists(c.resource, obj.GetName())
	}
	return c.written(ctx, key, resp.Header.Revision, body)
}
