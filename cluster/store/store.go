// Package store keeps the cluster's objects in etcd and answers every read from a
// cache that one etcd watch feeds.
//
// It owns the keys and the encoding in etcd, the meaning of resourceVersion, and the
// streams of events. It is independent of HTTP, users, defaults or validation: what it
// is given, it writes.
//
// An Item and the object in it are shared by all readers and must never be changed.
// Objects handed to Create, or returned by the function given to Update, are read
// before the call returns and not kept.
package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"wheelhouse/cluster/api"
)

// Store is all collections over one etcd. It has more than 30 methods: opening and closing, serving kinds, the one
// watch of etcd and its progress, which share the state of that watch.
type Store struct {
	source
	tasks chan func() // for follow, between two answers of the watch
	loads int         // how often follow has read everything, for follow alone

	// mu guards what is below, and Transformers. byKind has the collections that have been
	// read, byPrefix those too that Serve is reading.
	mu       sync.RWMutex
	byKind   map[*api.Kind]*Collection
	byPrefix map[string]*Collection // "/registry/pods/"

	ended       chan struct{} // closed when Run has ended
	transformed chan struct{} // there are other transformers
}

// New returns a store; Run starts it.
func New(cfg Config) (*Store, error) {
	if cfg.Client == nil || cfg.Log == nil {
		return nil, fmt.Errorf("store: a client and a log are needed")
	}
	s := &Store{
		byKind: map[*api.Kind]*Collection{}, byPrefix: map[string]*Collection{},
		ended: make(chan struct{}), transformed: make(chan struct{}, 1), tasks: make(chan func()),
	}
	s.open(cfg)
	for _, k := range cfg.Kinds {
		if k.Virtual {
			continue
		}
		c, err := newCollection(&s.source, k)
		if err == nil {
			err = s.add(c)
		}
		if err != nil {
			return nil, fmt.Errorf("store: %s: %w", k.Kind, err)
		}
		s.byKind[k] = c
	}
	return s, nil
}

// Of is the collection of a kind (for one of its versions, of the kind), nil for a
// kind that is not stored.
func (s *Store) Of(k *api.Kind) *Collection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byKind[k.Storage()]
}

// add refuses a collection whose keys would be among those of another.
func (s *Store) add(c *Collection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for prefix, other := range s.byPrefix {
		if strings.HasPrefix(prefix, c.prefix) || strings.HasPrefix(c.prefix, prefix) {
			return fmt.Errorf("%s and %s would share the keys %s", other.Kind().Kind, c.format.kind.Kind, c.prefix)
		}
	}
	s.byPrefix[c.prefix] = c
	c.transformer.Store(transformerOf(s.Transformers, c.resource))
	return nil
}

func (s *Store) remove(c *Collection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPrefix[c.prefix] == c {
		delete(s.byPrefix, c.prefix)
	}
	if s.byKind[c.format.kind] == c {
		delete(s.byKind, c.format.kind)
	}
}

// collections is all of them, those that are still being read too.
func (s *Store) collections() []*Collection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.byPrefix))
}

// collectionOf finds whose key it is, nil for a key of no kind that is served.
func (s *Store) collectionOf(key string) *Collection {
	if !strings.HasPrefix(key, registry) {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	end := len(registry)
	for range 2 { // a directory, or a directory within a directory
		i := strings.IndexByte(key[end:], '/')
		if i < 0 {
			return nil
		}
		end += i + 1
		if c := s.byPrefix[key[:end]]; c != nil {
			return c
		}
	}
	return nil
}
