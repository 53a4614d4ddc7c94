package replication

import (
	"context"
	"fmt"

	apps "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
)

// ReplicaSets is the Kind of ReplicaSets, with or without a Deployment.
func ReplicaSets(client kubernetes.Interface, f *client.SharedInformers) Kind {
	return &rsKind{source{client, f.Apps().V1().ReplicaSets().Informer()}}
}

type rsKind struct{ source }

func (k *rsKind) GroupVersionKind() schema.GroupVersionKind {
	return apps.SchemeGroupVersion.WithKind("ReplicaSet")
}

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
	return &Set{ReplicaSet: rs, Selector: selector, Template: &rs.Spec.Template, CountsTerminating: true}, nil
}

func (k *rsKind) Live(ctx context.Context, namespace, name string) (metav1.Object, error) {
	return k.client.AppsV1().ReplicaSets(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (k *rsKind) UpdateStatus(ctx context.Context, of *Set, s apps.ReplicaSetStatus) error {
	rs := of.DeepCopy()
	rs.Status = s
	_, err := k.client.AppsV1().ReplicaSets(rs.Namespace).UpdateStatus(ctx, rs, metav1.UpdateOptions{})
	return err
}
