package replication

import (
	"context"
	"fmt"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
)

// Controllers is the Kind of ReplicationControllers.
func Controllers(client kubernetes.Interface, f *client.SharedInformers) Kind {
	return &rcKind{source{client, f.Core().V1().ReplicationControllers().Informer()}}
}

type rcKind struct{ source }

func (k *rcKind) GroupVersionKind() schema.GroupVersionKind {
	return v1.SchemeGroupVersion.WithKind("ReplicationController")
}

func (k *rcKind) View(obj any) (*Set, error) {
	rc, ok := obj.(*v1.ReplicationController)
	if !ok {
		return nil, fmt.Errorf("not a ReplicationController: %T", obj)
	}
	s := &Set{Selector: labels.SelectorFromSet(rc.Spec.Selector), Template: rc.Spec.Template, ReplicaSet: &apps.ReplicaSet{
		// Events of the set name the kind that is written here.
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ReplicationController"},
		ObjectMeta: rc.ObjectMeta,
		Spec: apps.ReplicaSetSpec{
			Replicas: rc.Spec.Replicas, MinReadySeconds: rc.Spec.MinReadySeconds,
			Selector: &metav1.LabelSelector{MatchLabels: rc.Spec.Selector},
		},
		Status: apps.ReplicaSetStatus{
			Replicas: rc.Status.Replicas, FullyLabeledReplicas: rc.Status.FullyLabeledReplicas, ReadyReplicas: rc.Status.ReadyReplicas,
			AvailableReplicas: rc.Status.AvailableReplicas, ObservedGeneration: rc.Status.ObservedGeneration,
		},
	}}
	if len(rc.Spec.Selector) == 0 {
		s.Selector = labels.Nothing()
	}
	for _, c := range rc.Status.Conditions {
		s.Status.Conditions = append(s.Status.Conditions, apps.ReplicaSetCondition{
			Type: apps.ReplicaSetConditionType(c.Type), Status: c.Status, Reason: c.Reason, Message: c.Message, LastTransitionTime: c.LastTransitionTime,
		})
	}
	return s, nil
}

func (k *rcKind) Live(ctx context.Context, namespace, name string) (metav1.Object, error) {
	return k.client.CoreV1().ReplicationControllers(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (k *rcKind) UpdateStatus(ctx context.Context, of *Set, s apps.ReplicaSetStatus) error {
	rc := &v1.ReplicationController{
		ObjectMeta: of.ObjectMeta,
		Spec: v1.ReplicationControllerSpec{
			Replicas: of.Spec.Replicas, MinReadySeconds: of.Spec.MinReadySeconds, Selector: of.Spec.Selector.MatchLabels, Template: of.Template,
		},
		Status: v1.ReplicationControllerStatus{
			Replicas: s.Replicas, FullyLabeledReplicas: s.FullyLabeledReplicas, ReadyReplicas: s.ReadyReplicas,
			AvailableReplicas: s.AvailableReplicas, ObservedGeneration: s.ObservedGeneration,
		},
	}
	for _, c := range s.Conditions {
		rc.Status.Conditions = append(rc.Status.Conditions, v1.ReplicationControllerCondition{
			Type: v1.ReplicationControllerConditionType(c.Type), Status: c.Status, Reason: c.Reason, Message: c.Message, LastTransitionTime: c.LastTransitionTime,
		})
	}
	_, err := k.client.CoreV1().ReplicationControllers(rc.Namespace).UpdateStatus(ctx, rc, metav1.UpdateOptions{})
	return err
}
