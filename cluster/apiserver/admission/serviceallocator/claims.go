package serviceallocator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Claims records which Service holds which address or node port. A claim is taken before the
// Service that needs it is written, so that two writers cannot get the same one.
type Claims interface {
	// Take claims all the keys for owner, or none: then it returns one that another holds.
	// Keys that owner holds already are kept.
	Take(ctx context.Context, owner string, keys []string) (taken string, err error)
	// Give releases those of the keys that owner holds.
	Give(ctx context.Context, owner string, keys []string) error
	// Release releases those of the keys that were claimed before a revision.
	Release(ctx context.Context, keys []string, before int64) error
	// All returns every claim with the revision at which it was taken.
	All(ctx context.Context) (map[string]int64, error)
}

// memoryClaims is for the only API server of an embedded etcd: nothing else can write a
// Service, and the Services themselves show what is held after a restart.
type memoryClaims struct {
	mu   sync.Mutex
	held map[string]string // key -> owner
}

// NewMemoryClaims keeps claims in this process, for an API server that alone writes to its
// etcd.
func NewMemoryClaims() Claims { return &memoryClaims{held: map[string]string{}} }

func (m *memoryClaims) Take(_ context.Context, owner string, keys []string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if by, ok := m.held[k]; ok && by != owner {
			return k, nil
		}
	}
	for _, k := range keys {
		m.held[k] = owner
	}
	return "", nil
}

func (m *memoryClaims) Give(_ context.Context, owner string, keys []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if m.held[k] == owner {
			delete(m.held, k)
		}
	}
	return nil
}

// Release implements Claims. A key is claimed until the one watcher in this process observes
// the deletion of its Service, so a claim that it finds is always the old one.
func (m *memoryClaims) Release(_ context.Context, keys []string, _ int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.held, k)
	}
	return nil
}

func (m *memoryClaims) All(context.Context) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]int64, len(m.held))
	for k := range m.held {
		out[k] = 0
	}
	return out, nil
}

// claimPrefix is where claims are in etcd, apart from the objects.
const claimPrefix = "/wheelhouse/service-claims/"

type etcdClaims struct{ client *clientv3.Client }

// NewEtcdClaims keeps claims as keys of etcd, one transaction for each Service, for several
// API servers over the same etcd.
func NewEtcdClaims(c *clientv3.Client) Claims { return &etcdClaims{client: c} }

func (e *etcdClaims) Take(ctx context.Context, owner string, keys []string) (string, error) {
	if len(keys) == 0 {
		return "", nil
	}
	var none []clientv3.Cmp
	var put, get []clientv3.Op
	for _, k := range keys {
		none = append(none, clientv3.Compare(clientv3.CreateRevision(claimPrefix+k), "=", 0))
		put = append(put, clientv3.OpPut(claimPrefix+k, owner))
		get = append(get, clientv3.OpGet(claimPrefix+k))
	}
	// A second pass is needed when some of the keys are owner's own already.
	for range 3 {
		resp, err := e.client.Txn(ctx).If(none...).Then(put...).Else(get...).Commit()
		if err != nil {
			return "", fmt.Errorf("claiming %v: %w", keys, err)
		}
		if resp.Succeeded {
			return "", nil
		}
		none, put = nil, nil
		for i, k := range keys {
			kvs := resp.Responses[i].GetResponseRange().Kvs
			switch {
			case len(kvs) == 0:
				none = append(none, clientv3.Compare(clientv3.CreateRevision(claimPrefix+k), "=", 0))
				put = append(put, clientv3.OpPut(claimPrefix+k, owner))
			case string(kvs[0].Value) != owner:
				return k, nil
			default:
				// Written again, so that a late event of its former Service does not
				// release it.
				none = append(none, clientv3.Compare(clientv3.Value(claimPrefix+k), "=", owner))
				put = append(put, clientv3.OpPut(claimPrefix+k, owner))
			}
		}
	}
	return "", errors.New("claiming service addresses: others claim and release the same ones")
}

func (e *etcdClaims) Give(ctx context.Context, owner string, keys []string) error {
	return e.drop(ctx, keys, func(key string) clientv3.Cmp { return clientv3.Compare(clientv3.Value(key), "=", owner) })
}

// Release compares revisions, because each API server observes the deletion of a Service, and
// the key may have a new holder by the time the last of them does.
func (e *etcdClaims) Release(ctx context.Context, keys []string, before int64) error {
	return e.drop(ctx, keys, func(key string) clientv3.Cmp { return clientv3.Compare(clientv3.ModRevision(key), "<", before) })
}

func (e *etcdClaims) drop(ctx context.Context, keys []string, when func(string) clientv3.Cmp) error {
	for _, k := range keys {
		key := claimPrefix + k
		if _, err := e.client.Txn(ctx).If(when(key)).Then(clientv3.OpDelete(key)).Commit(); err != nil {
			return fmt.Errorf("releasing %s: %w", k, err)
		}
	}
	return nil
}

func (e *etcdClaims) All(ctx context.Context) (map[string]int64, error) {
	resp, err := e.client.Get(ctx, claimPrefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("reading the claims: %w", err)
	}
	out := make(map[string]int64, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		out[strings.TrimPrefix(string(kv.Key), claimPrefix)] = kv.ModRevision
	}
	return out, nil
}
