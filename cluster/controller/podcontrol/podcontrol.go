// Package podcontrol holds what the controllers of sets of pods share: which pods belong to
// a set (Claim), which set a change of a pod concerns (PodHandler), creating and deleting
// pods (Control), and which pods to delete first (PodsToDelete).
//
// It never decides how many pods a set should have. A caller that counts pods in a cache
// must skip a reconcile while Expectations are not met, or pods are created twice.
package podcontrol

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller/loop"
)

// Control creates and deletes pods for one controller, with events of the owner.
// Make it with New.
type Control struct {
	loop.Shared
	*Expectations
	Kind schema.GroupVersionKind // of the owners
}

// New returns a Control without expectations.
func New(s loop.Shared, kind schema.GroupVersionKind) *Control {
	return &Control{Shared: s, Kind: kind, Expectations: NewExpectations(time.Now)}
}

// Writes are the pods to create and to delete for one owner.
type Writes struct {
	Create int
	Pod    func(i int) *v1.Pod // the i-th pod to create
	Delete []*v1.Pod
	// BeforeDelete is called for each pod of Delete; its error prevents the deletion.
	BeforeDelete func(ctx context.Context, p *v1.Pod) error
}

// Apply sets the expectations of the owner's key and performs the writes. It returns how
// many pods were created and deleted, and the first error of each. That the namespace is
// terminating, or that a pod was deleted already, is no error.
func (c *Control) Apply(ctx context.Context, key string, owner runtime.Object, w Writes) (created, deleted int, err error) {
	if w.Create == 0 && len(w.Delete) == 0 {
		return 0, 0, nil
	}
	uids := make([]types.UID, len(w.Delete))
	for i, p := range w.Delete {
		uids[i] = p.UID
	}
	c.Expect(key, w.Create, uids)
	created, createErr := SlowStart(w.Create, func(i int) error { return c.create(ctx, owner, w.Pod(i)) })
	c.Created(key, w.Create-created)
	if apierrors.HasStatusCause(createErr, v1.NamespaceTerminatingCause) {
		createErr = nil
	}
	deleted, deleteErr := Together(len(w.Delete), func(i int) (err error) {
		if w.BeforeDelete != nil {
			err = w.BeforeDelete(ctx, w.Delete[i])
		}
		if err == nil {
			err = c.delete(ctx, owner, w.Delete[i])
		}
		if err != nil {
			c.Deleted(key, w.Delete[i].UID)
		}
		return loop.IgnoreNotFound(err)
	})
	return created, deleted, errors.Join(createErr, deleteErr)
}

func (c *Control) create(ctx context.Context, owner runtime.Object, p *v1.Pod) error {
	created, err := c.Client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		if !apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) && ctx.Err() == nil {
			c.Recorder.Eventf(owner, v1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		}
		return fmt.Errorf("create pod: %w", err)
	}
	c.Recorder.Eventf(owner, v1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", created.Name)
	return nil
}

// delete deletes the pod with this uid. It returns NotFound if the pod was deleted already.
func (c *Control) delete(ctx context.Context, owner runtime.Object, p *v1.Pod) error {
	err := c.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	switch {
	case err == nil:
		c.Recorder.Eventf(owner, v1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
	case !apierrors.IsNotFound(err):
		if ctx.Err() == nil {
			c.Recorder.Eventf(owner, v1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		}
		return fmt.Errorf("delete pod %s: %w", p.Name, err)
	}
	return err
}

// PodFromTemplate returns the pod that a controller creates; the server completes its name.
func PodFromTemplate(t *v1.PodTemplateSpec, owner metav1.Object, kind schema.GroupVersionKind) *v1.Pod {
	t = t.DeepCopy()
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.GetNamespace(), GenerateName: owner.GetName() + "-",
			Labels: t.Labels, Annotations: t.Annotations, Finalizers: t.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)},
		},
		Spec: t.Spec,
	}
}
