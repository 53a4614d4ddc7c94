package store

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/api"
)

// Create writes a new object; AlreadyExists if there is one of that name. obj is read
// and not kept.
func (c *Collection) Create(ctx context.Context, obj api.Object) (*Item, error) {
	key, ok := c.key(obj.GetNamespace(), obj.GetName())
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("no %s can have the namespace %q and the name %q", c.kind.Kind, obj.GetNamespace(), obj.GetName()))
	}
	if err := c.store.WaitReady(ctx); err != nil {
		return nil, timeout(err)
	}
	body, err := encodeBody(c.kind, obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
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

// settle is how long a write waits for its own event before it answers without.
const settle = time.Second

// written is the item of a write that etcd has acknowledged: the cache's own, which
// readers and watchers share. Should the watch be broken, the write is answered all the
// same, and readers wait for the cache to come so far.
func (c *Collection) written(ctx context.Context, key string, rev int64, body []byte) (*Item, error) {
	c.store.noteWritten(rev)
	if e := c.await(ctx, key, rev); e != nil {
		return e.Item, nil
	}
	item, err := newItem(c, key, rev, body)
	if err != nil {
		return nil, unreadable(key, err)
	}
	return item, nil
}

// await is the event of a write, nil if it did not come in time.
func (c *Collection) await(ctx context.Context, key string, rev int64) *Event {
	if !c.store.progress.wait(ctx, rev, settle) {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.history.at(rev, key)
}
