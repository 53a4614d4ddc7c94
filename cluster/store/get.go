package store

import "context"

// Get reads one object. resourceVersion "" reflects every write acknowledged before the
// call, "0" is whatever the cache has, N is at least revision N.
func (c *Collection) Get(ctx context.Context, namespace, name, resourceVersion string) (*Item, error) {
	key, ok := c.key(namespace, name)
	if !ok {
		return nil, c.notFound(name)
	}
	if _, err := c.store.reach(ctx, resourceVersion); err != nil {
		return nil, err
	}
	item, err := c.lookup(key)
	if err != nil {
		return nil, err
	}
	if item == nil {
		return nil, c.notFound(name)
	}
	return item, nil
}
