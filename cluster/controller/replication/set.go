package replication

import (
	"context"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
)

// Set is what the controller needs to know of an object that keeps a number of
// equal pods: a ReplicationController or a ReplicaSet. It is read only.
type Set struct {
	Object   Object
	Selector labels.Selector
	Replicas int32
	Template *v1.PodTemplateSpec
	MinReady int32 // seconds
	Status   Status
	// Terminating says whether the kind's status counts the pods on their way out.
	Terminating bool
}

// Object is the API object behind a Set.
type Object interface {
	metav1.Object
	runtime.Object
}

// Status is the status of a Set, in either kind's words.
type Status struct {
	Replicas, FullyLabeled, Ready, Available int32
	Terminating                              int32 // Unknown where nobody has counted them
	ObservedGeneration                       int64
	Failure                                  *Failure // nil: no ReplicaFailure condition
}

// Unknown is the number of terminating pods in a status that was written without it.
const Unknown = -1

// Failure is the ReplicaFailure condition.
type Failure struct {
	Reason, Message string
	Since           metav1.Time
}

// Kind is how the controller reads and writes one kind of Set.
type Kind interface {
	GroupVersionKind() schema.GroupVersionKind
	Informer() cache.SharedIndexInformer
	// View converts an object of the informer.
	View(obj any) (*Set, error)
	// Live reads past the cache.
	Live(ctx context.Context, namespace, name string) (metav1.Object, error)
	UpdateStatus(ctx context.Context, of *Set, s Status) error
}
