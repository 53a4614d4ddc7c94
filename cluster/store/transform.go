package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Transformer changes the values of a resource on their way into etcd and back:
// encryption at rest. key is the key in etcd, to which a value may be bound.
type Transformer interface {
	TransformToStorage(data []byte, key string) ([]byte, error)
	// TransformFromStorage also reports whether the value is stale: written in another
	// way than TransformToStorage writes now. An update that changes nothing replaces
	// a stale value, which is how keys are rotated.
	TransformFromStorage(data []byte, key string) (out []byte, stale bool, err error)
}

// Transformers returns the Transformer of a resource, nil for none.
type Transformers func(schema.GroupResource) Transformer

// transforming is a Transformer while it is in use.
type transforming struct {
	Transformer
	// writes is held for reading from the transformation of a value to its commit.
	writes sync.RWMutex
}

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

func (t *transforming) release() {
	if t != nil {
		t.writes.RUnlock()
	}
}

// drain returns when no write with t is under way.
func (t *transforming) drain() {
	t.writes.Lock()
	defer t.writes.Unlock()
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

func transformerOf(of Transformers, r schema.GroupResource) *transforming {
	if of == nil {
		return nil
	}
	if t := of(r); t != nil {
		return &transforming{Transformer: t}
	}
	return nil
}

// transformError is why a value could not be transformed. Unlike a value that is no
// object, such an object exists and is only not readable now: a list without it would
// be wrong, and so would an event that it is deleted.
type transformError struct{ error }

func (e transformError) Unwrap() error { return e.error }

func isTransformError(err error) bool {
	var e transformError
	return errors.As(err, &e)
}

func untransformable(key string, err error) error {
	return apierrors.NewInternalError(fmt.Errorf("unable to transform key %q: %w", key, err))
}

// plain is the value of a key as it was before TransformToStorage.
func (c *Collection) plain(key string, value []byte) ([]byte, error) {
	t := c.transformer.Load()
	if t == nil {
		return value, nil
	}
	out, _, err := t.TransformFromStorage(value, key)
	if err != nil {
		return nil, transformError{err}
	}
	return out, nil
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

// missing is the error of a list of keys from start on within a prefix that would lack
// objects which cannot be transformed. The collection's lock is held.
func (c *Collection) missing(within, start string) error {
	if len(c.broken) == 0 {
		return nil
	}
	first := ""
	for key, err := range c.broken {
		if strings.HasPrefix(key, within) && key >= start && isTransformError(err) && (first == "" || key < first) {
			first = key
		}
	}
	if first == "" {
		return nil
	}
	return untransformable(first, c.broken[first])
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
	value, err := c.plain(key, kv.Value)
	if err != nil {
		return err
	}
	body, err := openValue(c.kind, value)
	if err != nil {
		return err
	}
	_, err = c.commit(ctx, key, kv.ModRevision, body) // who writes before us mends it too
	return err
}

// commit replaces the value of a key that etcd has at revision rev (0: not at all) by
// that of body, or deletes the key if body is nil, in one transaction.
func (c *Collection) commit(ctx context.Context, key string, rev int64, body []byte) (*clientv3.TxnResponse, error) {
	t := c.acquire()
	defer t.release()
	op := clientv3.OpDelete(key)
	if body != nil {
		var err error
		if op, err = c.put(ctx, t, key, body); err != nil {
			return nil, err
		}
	}
	resp, err := c.store.Client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).Then(op).Commit()
	if err != nil {
		return nil, fromEtcd(err, "writing "+key)
	}
	return resp, nil
}

// put is the write of an object's new state. Objects of a kind with a TTL end with a lease.
func (c *Collection) put(ctx context.Context, t *transforming, key string, body []byte) (clientv3.Op, error) {
	value, _ := envelope(c.head, body, nil)
	if t != nil {
		var err error
		if value, err = t.TransformToStorage(value, key); err != nil {
			return clientv3.Op{}, untransformable(key, err)
		}
	}
	if !c.kind.TTL {
		return clientv3.OpPut(key, string(value)), nil
	}
	lease, err := c.store.leases.get(ctx)
	if err != nil {
		return clientv3.Op{}, fromEtcd(err, "a lease for "+key)
	}
	return clientv3.OpPut(key, string(value), clientv3.WithLease(lease)), nil
}
