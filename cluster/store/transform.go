package store

import (
	"errors"
	"fmt"
	"sync"

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
func (t *transforming) plain(key string, value []byte) ([]byte, error) {
	if t == nil {
		return value, nil
	}
	out, _, err := t.TransformFromStorage(value, key)
	if err != nil {
		return nil, transformError{err}
	}
	return out, nil
}
