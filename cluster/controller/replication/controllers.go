package replication

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Controllers is the Kind of ReplicationControllers.
func Controllers(client kubernetes.Interface, f informers.SharedInformerFactory) Kind {
	return &rcKind{client, f.Core().V1().ReplicationControllers().Informer()}
}

type rcKind struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
}

func (k *rcKind) GroupVersionKind() schema.GroupVersionKind {
	return v1.SchemeGroupVersion.WithKind("ReplicationController")
}

func (k *rcKind) Informer() cache.SharedIndexInformer { return k.informer }

func (k *rcKind) View(obj any) (*Set, error) {
	rc, ok := obj.(*v1.ReplicationController)
	if !ok {
		return nil, fmt.Errorf("not a ReplicationController: %T", obj)
	}
	s := &Set{
		Object:   rc,
		Selector: labels.SelectorFromSet(rc.Spec.Selector),
		Replicas: 1,
		Template: rc.Spec.Template,
		MinReady: rc.Spec.MinReadySeconds,
		Status: Status{
			Replicas:           rc.Status.Replicas,
			FullyLabeled:       rc.Status.FullyLabeledReplicas,
			Ready:              rc.Status.ReadyReplicas,
			Available:          rc.Status.AvailableReplicas,
			ObservedGeneration: rc.Status.ObservedGeneration,
		},
	}
	if len(rc.Spec.Selector) == 0 {
		s.Selector = labels.Nothing()
	}
	if rc.Spec.Replicas != nil {
		s.Replicas = *rc.Spec.Replicas
	}
	for _, c := range rc.Status.Conditions {
		if c.Type == v1.ReplicationControllerReplicaFailure && c.Status == v1.ConditionTrue {
			s.Status.Failure = &Failure{c.Reason, c.Message, c.LastTransitionTime}
		}
	}
	return s, nil
}

func (k *rcKind) Live(ctx context.Context, namespace, name string) (metav1.Object, error) {
	return k.client.CoreV1().ReplicationControllers(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (k *rcKind) UpdateStatus(ctx context.Context, of *Set, s Status) error {
	rc := of.Object.(*v1.ReplicationController).DeepCopy()
	rc.Status = v1.ReplicationControllerStatus{
		Replicas:             s.Replicas,
		FullyLabeledReplicas: s.FullyLabeled,
		ReadyReplicas:        s.Ready,
		AvailableReplicas:    s.Available,
		ObservedGeneration:   s.ObservedGeneration,
	}
	if f := s.Failure; f != nil {
		rc.Status.Conditions = []v1.ReplicationControllerCondition{{
			Type: v1.ReplicationControllerReplicaFailure, Status: v1.ConditionTrue,
			Reason: f.Reason, Message: f.Message, LastTransitionTime: f.Since,
		}}
	}
	_, err := k.client.CoreV1().ReplicationControllers(rc.Namespace).UpdateStatus(ctx, rc, metav1.UpdateOptions{})
	return err
}
