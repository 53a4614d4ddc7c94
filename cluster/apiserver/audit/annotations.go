package audit

import (
	"context"
	"maps"
	"sync"
)

// Annotations are what is noted of one request while it is served. A nil one notes
// nothing.
type Annotations struct {
	mu     sync.Mutex
	values map[string]string
}

// Set notes a value; the first of a key stays, as upstream.
func (a *Annotations) Set(key, value string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.values[key]; there {
		return
	}
	if a.values == nil {
		a.values = map[string]string{}
	}
	a.values[key] = value
}

// All is a copy of what was noted.
func (a *Annotations) All() map[string]string {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.values)
}

type annotationsKey struct{}

// WithAnnotations has Annotate note into a.
func WithAnnotations(ctx context.Context, a *Annotations) context.Context {
	return context.WithValue(ctx, annotationsKey{}, a)
}

// Annotate notes something about the request that is served with ctx, for its audit
// events; nothing happens where it is not audited.
func Annotate(ctx context.Context, key, value string) {
	a, _ := ctx.Value(annotationsKey{}).(*Annotations)
	a.Set(key, value)
}
