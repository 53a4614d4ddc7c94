package authn

import (
	"context"
	"maps"
	"sync"
)

// Notes collects what the credential of a request gives cause to say: warnings for the client
// and annotations for the audit log. The methods of nil Notes do nothing.
type Notes struct {
	mu          sync.Mutex
	warnings    []string
	annotations map[string]string
}

type notesKey struct{}

// WithNotes returns ctx with notes, which authentication and token reviews fill.
func WithNotes(ctx context.Context, n *Notes) context.Context {
	return context.WithValue(ctx, notesKey{}, n)
}

func notesFrom(ctx context.Context) *Notes {
	n, _ := ctx.Value(notesKey{}).(*Notes)
	return n
}

// Warnings returns the warnings so far.
func (n *Notes) Warnings() []string {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.warnings...)
}

// Annotations returns the annotations so far.
func (n *Notes) Annotations() map[string]string {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.annotations)
}

func (n *Notes) warn(text string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.warnings = append(n.warnings, text)
}

func (n *Notes) annotate(key, value string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.annotations == nil {
		n.annotations = map[string]string{}
	}
	n.annotations[key] = value
}
