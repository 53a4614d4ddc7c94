package replication

import (
	"context"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/client"
)

// Set is a ReplicationController or a ReplicaSet, in the form of a ReplicaSet. It is read only.
type Set struct {
	*apps.ReplicaSet
	Selector labels.Selector
	Template *v1.PodTemplateSpec // nil: no pods are created
	// CountsTerminating reports whether the kind's status has terminatingReplicas.
	CountsTerminating bool
}

func (s *Set) replicas() int {
	if s.Spec.Replicas == nil {
		return 1
	}
	return int(*s.Spec.Replicas)
}

// Kind is how the controller reads and writes one kind of Set.
type Kind interface {
	GroupVersionKind() schema.GroupVersionKind
	Informer() cache.SharedIndexInformer
	// View converts an object of the informer.
	View(obj any) (*Set, error)
	// Live reads from the API server, not from the cache.
	Live(ctx context.Context, namespace, name string) (metav1.Object, error)
	UpdateStatus(ctx context.Context, of *Set, s apps.ReplicaSetStatus) error
}

// NewKind is Controllers or ReplicaSets.
type NewKind func(kubernetes.Interface, *client.SharedInformers) Kind

// source is what the kinds read and write their objects with.
type source struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
}

// Informer implements Kind.
func (s source) Informer() cache.SharedIndexInformer { return s.informer }
