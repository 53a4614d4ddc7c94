package kubectl

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/retry"

	"wheelhouse/cluster/api/podfacts"
)

// desiredAnnotation is the annotation of the new controller with its final number of pods,
// so that an interrupted update can be resumed. It is upstream's.
const desiredAnnotation = "kubectl.kubernetes.io/desired-replicas"

// counts is the state of a rolling update: desired pods and ready ones.
type counts struct{ old, next, oldReady, nextReady, desired int32 }

// up returns the replicas that the new controller may have now: there is never more than one
// pod beyond the desired number.
func (c counts) up() int32 {
	return max(c.next, min(c.desired, c.desired+1-c.old))
}

// down returns the replicas that the old controller keeps now: there are never fewer ready
// pods than desired, as long as the old ones suffice.
func (c counts) down() int32 {
	spare := c.oldReady + c.nextReady - c.desired
	unready := max(0, c.old-c.oldReady)
	return max(0, c.old-max(0, spare)-unready)
}

// stuck reports whether neither controller can be scaled before new pods become ready again.
func (c counts) stuck() bool { return c.up() == c.next && c.down() == c.old && c.nextReady < c.next }

func (c counts) done() bool { return c.old == 0 && c.next == c.desired }

// replace replaces the pods of the old controller by those of the new one, one at a time.
func (r *rollingUpdate) replace(ctx context.Context, old, next *corev1.ReplicationController) error {
	desired := replicas(next)
	if r.rollback || r.image != "" {
		desired = replicas(old)
	}
	if r.rollback {
		// The new controller is removed again.
		old, next = next, old
		if v, err := strconv.ParseInt(old.Annotations[desiredAnnotation], 10, 32); err == nil {
			desired = int32(v)
		}
	}
	next, err := r.begin(ctx, next, desired)
	if err != nil {
		return err
	}
	if v, err := strconv.ParseInt(next.Annotations[desiredAnnotation], 10, 32); err == nil && !r.rollback {
		desired = int32(v)
	}
	fmt.Fprintf(r.streams.Out, "Scaling up %s from %d to %d, scaling down %s from %d to 0 (keep %d pods available, don't exceed %d pods)\n",
		next.Name, replicas(next), desired, old.Name, replicas(old), desired, desired+1)
	if err := r.steps(ctx, old, next, desired); err != nil {
		return fmt.Errorf("%w; the same command resumes the update, with --rollback it rolls back", err)
	}
	return r.finish(ctx, old, next)
}

// begin creates the new controller, without pods, or returns that of an interrupted update.
func (r *rollingUpdate) begin(ctx context.Context, next *corev1.ReplicationController, desired int32) (*corev1.ReplicationController, error) {
	there, err := r.controllers.Get(ctx, next.Name, metav1.GetOptions{})
	if err == nil {
		if !r.rollback {
			fmt.Fprintf(r.streams.Out, "Found existing update in progress (%s), resuming.\n", next.Name)
		}
		return there, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, err
	}
	fresh := next.DeepCopy()
	fresh.ResourceVersion, fresh.UID = "", ""
	fresh.Spec.Replicas = new(int32)
	metav1.SetMetaDataAnnotation(&fresh.ObjectMeta, desiredAnnotation, fmt.Sprint(desired))
	made, err := r.controllers.Create(ctx, fresh, metav1.CreateOptions{})
	if err == nil {
		fmt.Fprintf(r.streams.Out, "Created %s\n", made.Name)
	}
	return made, err
}

func (r *rollingUpdate) steps(ctx context.Context, old, next *corev1.ReplicationController, desired int32) error {
	for first := true; ; first = false {
		c, err := r.count(ctx, old, next, desired)
		if err != nil || c.done() {
			return err
		}
		if !first {
			if err := pause(ctx, r.period); err != nil {
				return err
			}
		}
		if c.stuck() {
			if err := r.ready(ctx, next, c.next); err != nil {
				return err
			}
			continue
		}
		if to := c.up(); to > c.next {
			fmt.Fprintf(r.streams.Out, "Scaling %s up to %d\n", next.Name, to)
			if err := r.scale(ctx, next.Name, to); err != nil {
				return err
			}
			if err := r.ready(ctx, next, to); err != nil {
				return err
			}
			if c, err = r.count(ctx, old, next, desired); err != nil {
				return err
			}
		}
		if to := c.down(); to < c.old {
			fmt.Fprintf(r.streams.Out, "Scaling %s down to %d\n", old.Name, to)
			if err := r.scale(ctx, old.Name, to); err != nil {
				return err
			}
		}
	}
}

// finish deletes the old controller, and renames the new one to its name if none was given.
func (r *rollingUpdate) finish(ctx context.Context, old, next *corev1.ReplicationController) error {
	fmt.Fprintf(r.streams.Out, "Update succeeded. Deleting %s\n", old.Name)
	if err := r.controllers.Delete(ctx, old.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	name := next.Name
	if r.image != "" && r.newName == "" && !r.rollback {
		name = r.oldName
		if err := r.rename(ctx, next.Name, name); err != nil {
			return err
		}
	}
	fmt.Fprintf(r.streams.Out, "replicationcontroller/%s rolling updated\n", name)
	return nil
}

// rename recreates the controller with another name; it adopts the pods.
func (r *rollingUpdate) rename(ctx context.Context, from, to string) error {
	fmt.Fprintf(r.streams.Out, "Renaming %s to %s\n", from, to)
	rc, err := r.controllers.Get(ctx, from, metav1.GetOptions{})
	if err != nil {
		return err
	}
	orphan := metav1.DeletePropagationOrphan
	if err := r.controllers.Delete(ctx, from, metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		return err
	}
	if err := r.gone(ctx, from); err != nil {
		return err
	}
	if err := r.gone(ctx, to); err != nil {
		return err
	}
	rc.ObjectMeta = metav1.ObjectMeta{Name: to, Namespace: rc.Namespace, Labels: rc.Labels, Annotations: rc.Annotations}
	delete(rc.Annotations, desiredAnnotation)
	_, err = r.controllers.Create(ctx, rc, metav1.CreateOptions{})
	return err
}

func (r *rollingUpdate) gone(ctx context.Context, name string) error {
	return r.until(ctx, fmt.Sprintf("the end of controller %s", name), func(ctx context.Context) (bool, error) {
		_, err := r.controllers.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}

func (r *rollingUpdate) count(ctx context.Context, old, next *corev1.ReplicationController, desired int32) (counts, error) {
	c := counts{desired: desired}
	for _, side := range []struct {
		rc           *corev1.ReplicationController
		wanted, have *int32
	}{{old, &c.old, &c.oldReady}, {next, &c.next, &c.nextReady}} {
		rc, err := r.controllers.Get(ctx, side.rc.Name, metav1.GetOptions{})
		if err != nil {
			return c, err
		}
		*side.wanted = replicas(rc)
		if *side.have, err = r.readyPods(ctx, rc); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (r *rollingUpdate) readyPods(ctx context.Context, rc *corev1.ReplicationController) (int32, error) {
	pods, err := r.pods.List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(rc.Spec.Selector).String()})
	if err != nil {
		return 0, err
	}
	n := int32(0)
	for i := range pods.Items {
		p := &pods.Items[i]
		if ref := metav1.GetControllerOfNoCopy(p); ref == nil || ref.UID != rc.UID || p.DeletionTimestamp != nil {
			continue
		}
		if podfacts.Ready(p) {
			n++
		}
	}
	return n, nil
}

func (r *rollingUpdate) ready(ctx context.Context, rc *corev1.ReplicationController, n int32) error {
	seen := int32(0)
	err := r.until(ctx, fmt.Sprintf("%d ready pods of %s", n, rc.Name), func(ctx context.Context) (bool, error) {
		var err error
		seen, err = r.readyPods(ctx, rc)
		return seen >= n, err
	})
	if err != nil {
		return fmt.Errorf("%w (%d are)", err, seen)
	}
	return nil
}

func (r *rollingUpdate) until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	err := wait.PollUntilContextTimeout(ctx, r.poll, r.timeout, true, done)
	if wait.Interrupted(err) {
		return fmt.Errorf("waited %s for %s", r.timeout, what)
	}
	return err
}

func (r *rollingUpdate) scale(ctx context.Context, name string, n int32) error {
	_, err := r.update(ctx, name, func(rc *corev1.ReplicationController) { rc.Spec.Replicas = &n })
	return err
}

// update changes a controller, and retries on a conflict.
func (r *rollingUpdate) update(ctx context.Context, name string, change func(*corev1.ReplicationController)) (*corev1.ReplicationController, error) {
	var out *corev1.ReplicationController
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		rc, err := r.controllers.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(rc)
		out, err = r.controllers.Update(ctx, rc, metav1.UpdateOptions{})
		return err
	})
	return out, err
}

func (r *rollingUpdate) label(ctx context.Context, p *corev1.Pod, value string) error {
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, r.key, value)
	_, err := r.pods.Patch(ctx, p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func replicas(rc *corev1.ReplicationController) int32 {
	if rc.Spec.Replicas == nil {
		return 1
	}
	return *rc.Spec.Replicas
}

// rollingUpdate is one rolling update in progress.
type rollingUpdate struct {
	*rollingOptions
	controllers typed.ReplicationControllerInterface
	pods        typed.PodInterface
	streams     genericiooptions.IOStreams
}

// rollingOptions are the flags of `kubectl rolling-update`, which kubectl had until
// 1.17: it exchanged a ReplicationController for another from the client's side, a
// pod at a time. A Deployment does so on the server.
type rollingOptions struct {
	oldName, newName string
	file, image      string
	container, key   string
	period, poll     time.Duration
	timeout          time.Duration
	rollback         bool
}
