package resourcequota

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

// list returns all objects of a resource in the quota's namespace, not older than the quota's
// resourceVersion: what was admitted before is among them.
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
		c.watch(schema.GroupVersionResource{Version: "v1", Resource: r.Resource})
		l, err := core.Services(q.Namespace).List(ctx, o)
		if err != nil {
			return nil, err
		}
		return whole(l.Items, func(s *corev1.Service) (types.UID, runtime.Object) { return s.UID, s }), nil
	case quota.Claims:
		c.watch(schema.GroupVersionResource{Version: "v1", Resource: r.Resource})
		l, err := core.PersistentVolumeClaims(q.Namespace).List(ctx, o)
		if err != nil {
			return nil, err
		}
		return whole(l.Items, func(p *corev1.PersistentVolumeClaim) (types.UID, runtime.Object) { return p.UID, p }), nil
	}
	full, exists, err := c.kinds.resource(r)
	if err != nil || !exists {
		return nil, err // the API server does not serve the resource: there are no objects
	}
	c.watch(full)
	l, err := c.Metadata.Resource(full).Namespace(q.Namespace).List(ctx, o)
	if apierrors.IsNotFound(err) { // the server no longer serves the resource
		c.kinds.forget(r)
		return nil, nil
	}
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

// watch starts an informer of a resource, from the first quota on that counts it. The
// objects' metadata is enough: only the namespace matters.
func (c *Controller) watch(r schema.GroupVersionResource) {
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
			c.enqueue((*now).Namespace)
		case now == nil:
			c.enqueue((*old).Namespace)
		case (*old).ResourceVersion != (*now).ResourceVersion:
			c.enqueue((*now).Namespace)
		}
	}))
	if err != nil {
		c.Log.Warn("watch of a counted resource failed; it is counted at intervals only", "resource", r.String(), "err", err)
		return
	}
	c.informers.Go(func() { informer.Run(c.ctx.Done()) })
}

// kinds holds the preferred version of each resource.
type kinds struct {
	discovery discovery.DiscoveryInterface

	mu    sync.Mutex
	known map[schema.GroupResource]schema.GroupVersionResource
}

// resource returns a resource with its version. One that was not served before is
// discovered again.
func (k *kinds) resource(r schema.GroupResource) (full schema.GroupVersionResource, exists bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if full, exists = k.known[r]; exists {
		return full, true, nil
	}
	groups, err := k.discovery.ServerPreferredResources()
	if err != nil {
		return full, false, fmt.Errorf("discover resources: %w", err)
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

// forget removes a resource, so that the next call of resource discovers it again.
func (k *kinds) forget(r schema.GroupResource) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, r)
}
