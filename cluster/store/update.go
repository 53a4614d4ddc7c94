package store

import (
	"bytes"
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/api"
)

// Update replaces an object with what f makes of its present state; f is called again
// with newer state when another write came between. f's error ends the update and is
// returned as it is. What f returns must be its own copy; it is read and not kept. If
// it equals the present state nothing is written, unless the value in etcd is stale (see
// Transformer), and that state is returned.
func (c *Collection) Update(ctx context.Context, namespace, name string, f func(cur *Item) (api.Object, error)) (*Item, error) {
	var body []byte
	cur, rev, err := c.change(ctx, namespace, name, func(cur *Item) (*write, error) {
		obj, err := f(cur)
		if err != nil {
			return nil, err
		}
		if body, err = encodeBody(c.format.kind, obj); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		if bytes.Equal(body, cur.body()) {
			if stale, err := c.stale(ctx, cur); err != nil || !stale {
				return nil, err
			}
		}
		if err := c.roomForUpdate(cur, obj, len(body)); err != nil {
			return nil, err
		}
		return &write{body}, nil
	})
	if err != nil || rev == 0 {
		return cur, err
	}
	return c.written(ctx, cur.key, rev, body)
}

// write is what shall be done to an object: another body, or nil to delete it.
type write struct{ body []byte }

// change is the loop of compare and swap. decide makes the write out of the present
// state, nil for none. The state and the revision of the write are returned, 0 if
// nothing was written.
func (c *Collection) change(ctx context.Context, namespace, name string, decide func(cur *Item) (*write, error)) (*Item, int64, error) {
	key, ok := c.key(namespace, name)
	if !ok {
		return nil, 0, c.notFound(name)
	}
	// The first try is on what the cache has. When others write too it may be old,
	// and then neither a refusal nor "nothing to do" is accepted before asking etcd.
	sure := c.store.OnlyWriter
	if sure {
		if err := c.store.latest(ctx); err != nil {
			return nil, 0, err
		}
	}
	for {
		cur, err := c.lookup(key)
		var next *write
		switch {
		case err != nil:
		case cur == nil:
			err = c.notFound(name)
		default:
			next, err = decide(cur)
		}
		if next == nil || err != nil {
			if !sure {
				if err := c.store.latest(ctx); err != nil {
					return nil, 0, err
				}
				sure = true
				if now, _ := c.lookup(key); now != cur {
					continue
				}
			}
			if err != nil {
				return nil, 0, err
			}
			return cur, 0, nil
		}
		resp, err := c.commit(ctx, key, cur.rev, next.body)
		if err != nil {
			return nil, 0, err
		}
		if resp.Succeeded {
			return cur, resp.Header.Revision, nil
		}
		if err := c.store.atLeast(ctx, resp.Header.Revision); err != nil {
			return nil, 0, err
		}
		sure = true
	}
}
