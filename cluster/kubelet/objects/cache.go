package objects

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	v1 "k8s.io/api/core/v1"
)

// maxAge is how old an object of the cache may be.
const maxAge = 5 * time.Second

// Cache is a Getter for repeated reads: pods that refer to the same object at about the
// same time share one answer. All pods of a namespace refer to the cluster's certificates.
type Cache struct {
	from   Getter
	flight singleflight.Group

	mu      sync.Mutex
	entries map[string]entry
}

type entry struct {
	object any
	at     time.Time
}

// NewCache returns a cache before another Getter.
func NewCache(from Getter) *Cache { return &Cache{from: from, entries: map[string]entry{}} }

// ConfigMap implements Getter.
func (s *Cache) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	return get(ctx, s, "configmap", namespace, name, s.from.ConfigMap)
}

// Secret implements Getter.
func (s *Cache) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	return get(ctx, s, "secret", namespace, name, s.from.Secret)
}

func get[T any](ctx context.Context, s *Cache, kind, namespace, name string, read func(context.Context, string, string) (*T, error)) (*T, error) {
	key := kind + "/" + namespace + "/" + name
	if o, ok := s.fresh(key); ok {
		return o.(*T), nil
	}
	o, err, _ := s.flight.Do(key, func() (any, error) {
		if o, ok := s.fresh(key); ok { // since the check above
			return o, nil
		}
		o, err := read(context.WithoutCancel(ctx), namespace, name)
		if err == nil {
			s.keep(key, o)
		}
		return o, err
	})
	if err != nil {
		return nil, err
	}
	return o.(*T), nil
}

func (s *Cache) fresh(key string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[key]
	return e.object, ok && time.Since(e.at) < maxAge
}

func (s *Cache) keep(key string, o any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for other, e := range s.entries { // secrets do not stay in memory for longer than needed
		if now.Sub(e.at) >= maxAge {
			delete(s.entries, other)
		}
	}
	s.entries[key] = entry{o, now}
}
