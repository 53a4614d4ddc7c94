package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
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
	body, err := encodeBody(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	put, err := c.put(ctx, key, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.store.Client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(put).Commit()
	if err != nil {
		return nil, fromEtcd(err, "creating "+key)
	}
	if !resp.Succeeded {
		return nil, apierrors.NewAlreadyExists(c.resource, obj.GetName())
	}
	return c.written(ctx, key, resp.Header.Revision, body)
}

// put is the write of an object's new state. Events end with a lease.
func (c *Collection) put(ctx context.Context, key string, body []byte) (clientv3.Op, error) {
	value, _ := envelope(c.head, body, nil)
	if c.kind.Kind != "Event" {
		return clientv3.OpPut(key, string(value)), nil
	}
	lease, err := c.store.leases.get(ctx)
	if err != nil {
		return clientv3.Op{}, fromEtcd(err, "a lease for "+key)
	}
	return clientv3.OpPut(key, string(value), clientv3.WithLease(lease)), nil
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
