package resourcequota

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/quota"
)

// counting is one object of the namespace; object is nil if only its number matters.
type counting struct {
	uid    string
	object runtime.Object
}

// list is all objects of a resource in the quota's namespace, as they were when the
// quota was at its revision, or later: what was let in before is among them.
func (c *Controller) list(ctx context.Context, r schema.GroupResource, q *corev1.ResourceQuota) ([]counting, error) {
	o := metav1.ListOptions{ResourceVersion: q.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}
	core := c.Client.CoreV1()
	switch r {
	case quota.Pods:
		l, err := core.Pods(q.Namespace).List(ctx, o)
		if err != nil {
			return nil, err
		}
		return whole(l.Items, func(p *corev1.Pod) (types.UID, runtime.Object) { return p.UID, p }), nil
	case quota.Services:
		c.follow(schema.GroupVersionResource{Version: "v1", Resource: r.Resource})
		l, err := core.Services(q.Namespace).List(ctx, o)
		if err != nil {
			return nil, err
		}
		return whole(l.Items, func(s *corev1.Service) (types.UID, runtime.Object) { return s.UID, s }), nil
	case quota.Claims:
		c.follow(schema.GroupVersionResource{Version: "v1", Resource: r.Resource})
		l, err := core.PersistentVolumeClaims(q.Namespace).List(ctx, o)
		if err != nil {
			return nil, err
		}
		return whole(l.Items, func(p *corev1.PersistentVolumeClaim) (types.UID, runtime.Object) { return p.UID, p }), nil
	}
	full, exists, err := c.kinds.resource(r)
	if err != nil || !exists {
		return nil, err // nobody knows such objects: there are none
	}
	c.follow(full)
	l, err := c.Metadata.Resource(full).Namespace(q.Namespace).List(ctx, o)
	if err != nil {
		return nil, err
	}
	return whole(l.Items, func(p *metav1.PartialObjectMetadata) (types.UID, runtime.Object) { return p.UID, nil }), nil
}

func whole[T any](items []T, of func(*T) (types.UID, runtime.Object)) []counting {
	all := make([]counting, len(items))
	for i := range items {
		uid, object := of(&items[i])
		all[i] = counting{string(uid), object}
	}
	return all
}

// follow watches a resource from the first quota on that counts it. Its objects'
// metadata are enough: they say in which namespace something came, went or changed.
func (c *Controller) follow(r schema.GroupVersionResource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watching[r.GroupResource()] || c.ctx == nil {
		return
	}
	c.watching[r.GroupResource()] = true
	informer := metadatainformer.NewFilteredMetadataInformer(c.Metadata, r, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	_, err := informer.AddEventHandler(loop.Changes(func(old, now **metav1.PartialObjectMetadata) {
		switch {
		case old == nil:
			c.wake((*now).Namespace)
		case now == nil:
			c.wake((*old).Namespace)
		case (*old).ResourceVersion != (*now).ResourceVersion:
			c.wake((*now).Namespace)
		}
	}))
	if err != nil {
		c.Log.Warn("following what a quota counts; it is counted from time to time only", "resource", r.String(), "error", err)
		return
	}
	c.follows.Go(func() { informer.Run(c.ctx.Done()) })
}

// kinds finds the version of a resource.
type kinds struct {
	discovery discovery.DiscoveryInterface

	mu    sync.Mutex
	known map[schema.GroupResource]schema.GroupVersionResource
}

// resource is the version to ask for. What the server did not have before it is asked
// for again: it may have been taught since.
func (k *kinds) resource(r schema.GroupResource) (full schema.GroupVersionResource, exists bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if full, exists = k.known[r]; exists {
		return full, true, nil
	}
	groups, err := k.discovery.ServerPreferredResources()
	if err != nil {
		return full, false, fmt.Errorf("ask which resources there are: %w", err)
	}
	k.known = map[schema.GroupResource]schema.GroupVersionResource{}
	for _, g := range groups {
		gv, err := schema.ParseGroupVersion(g.GroupVersion)
		if err != nil {
			continue
		}
		for i := range g.APIResources {
			one := gv.WithResource(g.APIResources[i].Name)
			if g.APIResources[i].Namespaced && slices.Contains(g.APIResources[i].Verbs, "list") {
				k.known[one.GroupResource()] = one
			}
		}
	}
	full, exists = k.known[r]
	return full, exists, nil
}
