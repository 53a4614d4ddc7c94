package store

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// ttl is how long objects of a kind with a TTL are kept, as upstream's --event-ttl.
	ttl = time.Hour
	// leaseShared is how long new objects get the same lease: thousands of leases would
	// cost etcd more than the objects.
	leaseShared = time.Minute
)

// leases grants the lease with which objects of a kind with a TTL end.
type leases struct {
	client *clientv3.Client
	mu     sync.Mutex
	id     clientv3.LeaseID
	until  time.Time
}

func (l *leases) get(ctx context.Context) (clientv3.LeaseID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.until) {
		return l.id, nil
	}
	granted, err := l.client.Grant(ctx, int64((ttl+leaseShared)/time.Second))
	if err != nil {
		return 0, err
	}
	l.id, l.until = granted.ID, time.Now().Add(leaseShared)
	return l.id, nil
}
