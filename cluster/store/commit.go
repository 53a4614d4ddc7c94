package store

import (
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// acquire returns the collection's transformer for one write, nil for none. Until
// release, SetTransformers does not return.
func (c *Collection) acquire() *transforming {
	for {
		t := c.transformer.Load()
		if t == nil {
			return nil
		}
		t.writes.RLock()
		if c.transformer.Load() == t {
			return t
		}
		t.writes.RUnlock()
	}
}

// commit replaces the value of a key that etcd has at revision rev (0: not at all) by
// that of body, or deletes the key if body is nil, in one transaction.
func (c *Collection) commit(ctx context.Context, key string, rev int64, body []byte) (*pb.TxnResponse, error) {
	t := c.acquire()
	defer t.release()
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}}
	if body != nil {
		put, err := c.put(ctx, t, key, body)
		if err != nil {
			return nil, err
		}
		op.Request = &pb.RequestOp_RequestPut{RequestPut: put}
	}
	resp, err := transact(ctx, c.store.Client, &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: []byte(key), Target: pb.Compare_MOD, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_ModRevision{ModRevision: rev},
		}},
		Success: []*pb.RequestOp{op},
	})
	if err != nil {
		return nil, fromWrite(err, "writing "+key)
	}
	return resp, nil
}

// put is the write of an object's new state. Objects of a kind with a TTL end with a lease.
func (c *Collection) put(ctx context.Context, t *transforming, key string, body []byte) (*pb.PutRequest, error) {
	value, _ := envelope(c.format.head, body, nil)
	if t != nil {
		var err error
		if value, err = t.TransformToStorage(value, key); err != nil {
			return nil, untransformable(key, err)
		}
	}
	r := &pb.PutRequest{Key: []byte(key), Value: value}
	if c.format.kind.TTL {
		lease, err := c.store.leases.get(ctx)
		if err != nil {
			return nil, fromEtcd(err, "a lease for "+key)
		}
		r.Lease = int64(lease)
	}
	return r, nil
}

// Transactor is a clientv3.KV that takes a transaction as it is sent. That of an embedded member does: the
// client's own form costs each write two copies of the value. The request is the member's from then on.
type Transactor interface {
	Transact(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error)
}

// transact sends a transaction to etcd, with one comparison of a mod_revision and one put or deletion.
func transact(ctx context.Context, client *clientv3.Client, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if direct, ok := client.KV.(Transactor); ok {
		return direct.Transact(ctx, r)
	}
	op := clientv3.OpDelete(string(r.Compare[0].Key))
	if put := r.Success[0].GetRequestPut(); put != nil {
		op = clientv3.OpPut(string(put.Key), string(put.Value), clientv3.WithLease(clientv3.LeaseID(put.Lease)))
	}
	rev := r.Compare[0].GetModRevision()
	resp, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(string(r.Compare[0].Key)), "=", rev)).Then(op).Commit()
	return (*pb.TxnResponse)(resp), err
}

// stale reports whether the value of an item in etcd should be written again. One that
// was written meanwhile is not.
func (c *Collection) stale(ctx context.Context, i *Item) (bool, error) {
	t := c.transformer.Load()
	if t == nil {
		return false, nil
	}
	resp, err := c.store.Client.Get(ctx, i.key)
	if err != nil {
		return false, fromEtcd(err, "reading "+i.key)
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0].ModRevision != i.rev {
		return false, nil
	}
	_, stale, err := t.TransformFromStorage(resp.Kvs[0].Value, i.key)
	if err != nil {
		return false, untransformable(i.key, err)
	}
	return stale, nil
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
	item, err := newItem(c.format, key, rev, body)
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

// SetTransformers replaces the transformers while the store runs. When it returns, every
// write that used the former ones is in etcd or has failed. What could not be
// transformed before is read again.
func (s *Store) SetTransformers(of Transformers) {
	s.mu.Lock()
	s.Transformers = of
	s.mu.Unlock()
	var former []*transforming
	for _, c := range s.collections() {
		if t := c.transformer.Swap(transformerOf(of, c.resource)); t != nil {
			former = append(former, t)
		}
	}
	for _, t := range former {
		t.drain()
	}
	select {
	case s.transformed <- struct{}{}:
	default:
	}
}

// mend writes again what could not be transformed before and can be now, so that it
// comes into the caches, and to the watchers, as every write does.
func (s *Store) mend(ctx context.Context) {
	for _, c := range s.collections() {
		for _, key := range c.untransformed() {
			// What is still not readable was reported when it was found.
			if err := c.mend(ctx, key); err != nil && !isTransformError(err) {
				s.Log.Warn("an object in etcd that cannot be read is not mended", "key", key, "err", err)
			}
		}
	}
}

func (c *Collection) untransformed() (keys []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for key, err := range c.broken {
		if isTransformError(err) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (c *Collection) mend(ctx context.Context, key string) error {
	resp, err := c.store.Client.Get(ctx, key)
	if err != nil || len(resp.Kvs) == 0 {
		return err
	}
	kv := resp.Kvs[0]
	value, err := c.transformer.Load().plain(key, kv.Value)
	if err != nil {
		return err
	}
	body, err := openValue(c.format.kind, value)
	if err != nil {
		return err
	}
	_, err = c.commit(ctx, key, kv.ModRevision, body) // who writes before us mends it too
	return err
}
