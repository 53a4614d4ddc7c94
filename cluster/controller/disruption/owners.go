package disruption

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/client"
)

// owners reads the desired replicas of a pod's controller: the kinds that are watched anyway
// from their caches, any other by its scale subresource.
type owners struct {
	discovery   discovery.DiscoveryInterface
	controllers listers.ReplicationControllerLister
	sets        appslisters.ReplicaSetLister
	deployments appslisters.DeploymentLister
	stateful    appslisters.StatefulSetLister
}

// replicas are the desired replicas of an owner: of the Deployment for a ReplicaSet.
type replicas struct {
	uid types.UID
	n   int32
}

func newOwners(client kubernetes.Interface, f *client.SharedInformers) *owners {
	apps := f.Apps().V1()
	return &owners{
		discovery:   client.Discovery(),
		controllers: f.Core().V1().ReplicationControllers().Lister(),
		sets:        apps.ReplicaSets().Lister(),
		deployments: apps.Deployments().Lister(),
		stateful:    apps.StatefulSets().Lister(),
	}
}

func (*owners) informers(f *client.SharedInformers) []cache.SharedIndexInformer {
	apps := f.Apps().V1()
	return []cache.SharedIndexInformer{
		f.Core().V1().ReplicationControllers().Informer(), apps.ReplicaSets().Informer(),
		apps.Deployments().Informer(), apps.StatefulSets().Informer(),
	}
}

// expectedPods returns the sum of the desired replicas of the owners of the pods, each once.
func (o *owners) expectedPods(ctx context.Context, pods []*v1.Pod) (n int32, unmanaged int, err error) {
	if len(pods) == 0 {
		return 0, 0, nil
	}
	refs, unmanaged := byOwner(pods)
	expected := map[types.UID]int32{}
	for _, ref := range refs {
		r, err := o.replicas(ctx, pods[0].Namespace, ref)
		if err != nil {
			return 0, unmanaged, err
		}
		if r == nil {
			return 0, unmanaged, fmt.Errorf("found no controllers for pod %q", podOf(pods, ref.UID))
		}
		expected[r.uid] = r.n
	}
	for _, m := range expected {
		n += m
	}
	return n, unmanaged, nil
}

func podOf(pods []*v1.Pod, owner types.UID) string {
	for _, p := range pods {
		if ref := metav1.GetControllerOfNoCopy(p); ref != nil && ref.UID == owner {
			return p.Name
		}
	}
	return ""
}

// replicas returns nil for an owner that was deleted.
func (o *owners) replicas(ctx context.Context, ns string, ref metav1.OwnerReference) (*replicas, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("owner %s: %w", ref.Name, err)
	}
	var is metav1.Object
	var n *int32
	switch (schema.GroupKind{Group: gv.Group, Kind: ref.Kind}) {
	case schema.GroupKind{Kind: "ReplicationController"}:
		rc, e := o.controllers.ReplicationControllers(ns).Get(ref.Name)
		if err = e; err == nil {
			is, n = rc, rc.Spec.Replicas
		}
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		s, e := o.stateful.StatefulSets(ns).Get(ref.Name)
		if err = e; err == nil {
			is, n = s, s.Spec.Replicas
		}
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		d, e := o.deployments.Deployments(ns).Get(ref.Name)
		if err = e; err == nil {
			is, n = d, d.Spec.Replicas
		}
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		rs, e := o.sets.ReplicaSets(ns).Get(ref.Name)
		if err = e; err == nil {
			if over := metav1.GetControllerOfNoCopy(rs); over != nil && rs.UID == ref.UID && over.Kind == "Deployment" {
				return o.replicas(ctx, ns, *over)
			}
			is, n = rs, rs.Spec.Replicas
		}
	default:
		return o.scale(ctx, ns, gv, ref)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case is.GetUID() != ref.UID:
		return nil, nil
	case n == nil:
		return &replicas{ref.UID, 1}, nil
	}
	return &replicas{ref.UID, *n}, nil
}

// scale reads the scale subresource of an owner of any other kind.
func (o *owners) scale(ctx context.Context, ns string, gv schema.GroupVersion, ref metav1.OwnerReference) (*replicas, error) {
	list, err := o.discovery.ServerResourcesForGroupVersion(gv.String())
	if err != nil {
		return nil, fmt.Errorf("resources of %s: %w", gv, err)
	}
	plural, scales := "", map[string]bool{}
	for i := range list.APIResources {
		r := &list.APIResources[i]
		if r.Kind == ref.Kind && !strings.Contains(r.Name, "/") {
			plural = r.Name
		}
		scales[r.Name] = true
	}
	resource := schema.GroupResource{Group: gv.Group, Resource: plural}
	if plural == "" {
		return nil, fmt.Errorf("the server has no kind %s in %s", ref.Kind, gv)
	}
	if !scales[plural+"/scale"] {
		return nil, fmt.Errorf("%s does not implement the scale subresource", resource)
	}
	root := "/apis/"
	if gv.Group == "" {
		root = "/api/"
	}
	text, err := o.discovery.RESTClient().Get().AbsPath(root+gv.String(), "namespaces", ns, plural, ref.Name, "scale").
		SetHeader("Accept", "application/json").Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("scale of %s %s: %w", resource, ref.Name, err)
	}
	var s struct { // what all versions of Scale have
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Replicas int32 `json:"replicas"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("scale of %s %s: %w", resource, ref.Name, err)
	}
	if s.Metadata.UID != ref.UID {
		return nil, nil
	}
	return &replicas{ref.UID, s.Spec.Replicas}, nil
}
