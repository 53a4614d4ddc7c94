package replication

import (
	"context"
	"fmt"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// ReplicaSets is the Kind of ReplicaSets, whether they are a person's or a Deployment's.
func ReplicaSets(client kubernetes.Interface, f informers.SharedInformerFactory) Kind {
	return &rsKind{client, f.Apps().V1().ReplicaSets().Informer()}
}

type rsKind struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
}

func (k *rsKind) GroupVersionKind() schema.GroupVersionKind {
	return apps.SchemeGroupVersion.WithKind("ReplicaSet")
}

func (k *rsKind) Informer() cache.SharedIndexInformer { return k.informer }

func (k *rsKind) View(obj any) (*Set, error) {
	rs, ok := obj.(*apps.ReplicaSet)
	if !ok {
		return nil, fmt.Errorf("not a ReplicaSet: %T", obj)
	}
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector of ReplicaSet %s/%s: %w", rs.Namespace, rs.Name, err)
	}
	if selector.Empty() {
		selector = labels.Nothing()
	}
	s := &Set{
		Object:   rs,
		Selector: selector,
		Replicas: 1,
		Template: &rs.Spec.Template,
		MinReady: rs.Spec.MinReadySeconds,
		Status: Status{
			Replicas:           rs.Status.Replicas,
			FullyLabeled:       rs.Status.FullyLabeledReplicas,
			Ready:              rs.Status.ReadyReplicas,
			Available:          rs.Status.AvailableReplicas,
			Terminating:        Unknown,
			ObservedGeneration: rs.Status.ObservedGeneration,
		},
		Terminating: true,
	}
	if rs.Spec.Replicas != nil {
		s.Replicas = *rs.Spec.Replicas
	}
	if n := rs.Status.TerminatingReplicas; n != nil {
		s.Status.Terminating = *n
	}
	for _, c := range rs.Status.Conditions {
		if c.Type == apps.ReplicaSetReplicaFailure && c.Status == v1.ConditionTrue {
			s.Status.Failure = &Failure{c.Reason, c.Message, c.LastTransitionTime}
		}
	}
	return s, nil
}

func (k *rsKind) Live(ctx context.Context, namespace, name string) (metav1.Object, error) {
	return k.client.AppsV1().ReplicaSets(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (k *rsKind) UpdateStatus(ctx context.Context, of *Set, s Status) error {
	rs := of.Object.(*apps.ReplicaSet).DeepCopy()
	var others []apps.ReplicaSetCondition
	for _, c := range rs.Status.Conditions {
		if c.Type != apps.ReplicaSetReplicaFailure {
			others = append(others, c)
		}
	}
	rs.Status = apps.ReplicaSetStatus{
		Replicas:             s.Replicas,
		FullyLabeledReplicas: s.FullyLabeled,
		ReadyReplicas:        s.Ready,
		AvailableReplicas:    s.Available,
		TerminatingReplicas:  &s.Terminating,
		ObservedGeneration:   s.ObservedGeneration,
		Conditions:           others,
	}
	if f := s.Failure; f != nil {
		rs.Status.Conditions = append(others, apps.ReplicaSetCondition{
			Type: apps.ReplicaSetReplicaFailure, Status: v1.ConditionTrue,
			Reason: f.Reason, Message: f.Message, LastTransitionTime: f.Since,
		})
	}
	_, err := k.client.AppsV1().ReplicaSets(rs.Namespace).UpdateStatus(ctx, rs, metav1.UpdateOptions{})
	return err
}
