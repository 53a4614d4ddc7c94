package authz

import (
	"context"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/store"
)

// FromStore reads from the API server's own store.
func FromStore(s *store.Store, kinds []*api.Kind) Objects {
	o := storeObjects{}
	for _, k := range kinds {
		if c := s.Of(k); c != nil && !k.Virtual {
			o[schema.GroupResource{Group: k.Group, Resource: k.Plural}] = c
		}
	}
	return o
}

type storeObjects map[schema.GroupResource]*store.Collection

func (o storeObjects) of(r schema.GroupResource) (*store.Collection, error) {
	c := o[r]
	if c == nil {
		return nil, fmt.Errorf("%s are not stored here", r)
	}
	return c, nil
}

func revisionFor(fresh bool) string {
	if fresh {
		return ""
	}
	return "0"
}

func (o storeObjects) Get(ctx context.Context, r schema.GroupResource, namespace, name string, fresh bool) (api.Object, error) {
	c, err := o.of(r)
	if err != nil {
		return nil, err
	}
	item, err := c.Get(ctx, namespace, name, revisionFor(fresh))
	if err != nil {
		return nil, err
	}
	return item.Object(), nil
}

func (o storeObjects) List(ctx context.Context, r schema.GroupResource, namespace string, fresh bool) ([]api.Object, int64, error) {
	c, err := o.of(r)
	if err != nil {
		return nil, 0, err
	}
	page, err := c.List(ctx, namespace, store.ListOptions{ResourceVersion: revisionFor(fresh)})
	if err != nil {
		return nil, 0, err
	}
	objects := make([]api.Object, len(page.Items))
	for i, item := range page.Items {
		objects[i] = item.Object()
	}
	return objects, page.Revision, nil
}

func (o storeObjects) Watch(ctx context.Context, r schema.GroupResource, revision int64) (<-chan Change, error) {
	c, err := o.of(r)
	if err != nil {
		return nil, err
	}
	w, err := c.Watch(ctx, "", store.WatchOptions{ResourceVersion: strconv.FormatInt(revision, 10)})
	if err != nil {
		return nil, err
	}
	changes := make(chan Change)
	go forward(ctx, w, changes)
	return changes, nil
}

func forward(ctx context.Context, w *store.Watcher, to chan<- Change) {
	defer close(to)
	defer w.Stop()
	for e := range w.Events() {
		if e.Type == watch.Bookmark || e.Type == watch.Error || e.Item == nil {
			continue
		}
		select {
		case to <- Change{Type: e.Type, Object: e.Item.Object(), Revision: e.Revision}:
		case <-ctx.Done():
			return
		}
	}
}
