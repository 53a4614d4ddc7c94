package kubelet

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	v1 "k8s.io/api/core/v1"
)

// sharedAge is how old an object may be that pods share.
const sharedAge = 5 * time.Second

// shared are lookups for what is looked up again and again: pods that name the same
// object at about the same time share one answer. All pods of a namespace name the
// cluster's certificates.
type shared struct {
	from   lookups
	flight singleflight.Group

	mu  sync.Mutex
	got map[string]answer
}

type answer struct {
	object any
	at     time.Time
}

func newShared(from lookups) *shared { return &shared{from: from, got: map[string]answer{}} }

// ConfigMap implements lookups.
func (s *shared) ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error) {
	o, err := s.get("configmap/"+namespace+"/"+name, func() (any, error) { return s.from.ConfigMap(context.WithoutCancel(ctx), namespace, name) })
	if err != nil {
		return nil, err
	}
	return o.(*v1.ConfigMap), nil
}

// Secret implements lookups.
func (s *shared) Secret(ctx context.Context, namespace, name string) (*v1.Secret, error) {
	o, err := s.get("secret/"+namespace+"/"+name, func() (any, error) { return s.from.Secret(context.WithoutCancel(ctx), namespace, name) })
	if err != nil {
		return nil, err
	}
	return o.(*v1.Secret), nil
}

func (s *shared) get(key string, ask func() (any, error)) (any, error) {
	if have, ok := s.fresh(key); ok {
		return have, nil
	}
	o, err, _ := s.flight.Do(key, func() (any, error) {
		// An answer may have come between the look at it and here.
		if have, ok := s.fresh(key); ok {
			return have, nil
		}
		o, err := ask()
		if err == nil {
			s.keep(key, o)
		}
		return o, err
	})
	return o, err
}

func (s *shared) fresh(key string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.got[key]
	return have.object, ok && time.Since(have.at) < sharedAge
}

func (s *shared) keep(key string, o any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for other, old := range s.got { // secrets do not stay in memory for longer than needed
		if now.Sub(old.at) >= sharedAge {
			delete(s.got, other)
		}
	}
	s.got[key] = answer{o, now}
}

// untilRefresh is when volumes that were brought up to date at a time are next: all pods
// at once, so that they share what they look up.
func untilRefresh(last time.Time) time.Duration {
	return time.Until(last.Truncate(volumeRefresh).Add(volumeRefresh))
}
