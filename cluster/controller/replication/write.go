package replication

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

// Pods creates and deletes pods for a controller, and tells so in events of the owner.
type Pods struct {
	Client   kubernetes.Interface
	Recorder record.EventRecorder
}

// Create creates a pod. An ending namespace takes none, which is no news.
func (w Pods) Create(ctx context.Context, owner runtime.Object, p *v1.Pod) error {
	made, err := w.Client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		if !apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) && ctx.Err() == nil {
			w.Recorder.Eventf(owner, v1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		}
		return fmt.Errorf("create pod: %w", err)
	}
	w.Recorder.Eventf(owner, v1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", made.Name)
	return nil
}

// Delete deletes this very pod. It gives the server's NotFound when it was gone already.
func (w Pods) Delete(ctx context.Context, owner runtime.Object, p *v1.Pod) error {
	err := w.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	switch {
	case err == nil:
		w.Recorder.Eventf(owner, v1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
	case !apierrors.IsNotFound(err):
		if ctx.Err() == nil {
			w.Recorder.Eventf(owner, v1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		}
		return fmt.Errorf("delete pod %s: %w", p.Name, err)
	}
	return err
}

// UIDs are those of pods.
func UIDs(pods []*v1.Pod) []types.UID {
	out := make([]types.UID, len(pods))
	for i, p := range pods {
		out[i] = p.UID
	}
	return out
}
