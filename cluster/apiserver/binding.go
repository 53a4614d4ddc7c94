package apiserver

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/store"
)

// bindPod answers POST pods/NAME/binding: a scheduler's choice of a node.
func (r *request) bindPod() error {
	b, o, err := r.decodeBinding()
	if err != nil {
		return err
	}
	if b.Name != "" && b.Name != r.Name {
		return apistatus.BadRequest("the name of the object (%s) does not match the name on the URL (%s)", b.Name, r.Name)
	}
	return r.assign(r.Name, b, o)
}

// bind answers POST bindings, the form before 1.0: the name is in the body.
func (r *request) bind() error {
	b, o, err := r.decodeBinding()
	if err != nil {
		return err
	}
	return r.assign(b.Name, b, o)
}

func (r *request) decodeBinding() (*corev1.Binding, writeOptions, error) {
	o, err := createOptions(r.Request)
	if err != nil {
		return nil, o, err
	}
	b := &corev1.Binding{}
	if err := r.decode(b, corev1.SchemeGroupVersion.WithKind("Binding"), o.validation); err != nil {
		return nil, o, err
	}
	if err := r.checkNamespace(b); err != nil {
		return nil, o, err
	}
	err = apistatus.Invalid(core.Bindings.GroupKind(), b.Name, check(core.Bindings.Validate, b))
	return b, o, err
}

func (r *request) assign(name string, b *corev1.Binding, o writeOptions) (err error) {
	b.Labels = merged(b.Labels, r.topology(b.Target.Name))
	var a admitting
	if err := a.begin(r.Context(), r.exchange, admission.Create, b, nil, o.options); err != nil {
		return err
	}
	defer func() { a.end(r.Context(), err) }()
	if err := a.finish(r.Context()); err != nil {
		return err
	}
	set := func(cur *store.Item) (api.Object, error) { return assigned(cur.Object().(*corev1.Pod), b) }
	pods := r.routes.resource("", "v1", "pods").collection
	if o.dryRun {
		cur, err := pods.Get(r.Context(), r.Namespace, name, "")
		if err != nil {
			return err
		}
		if _, err := set(cur); err != nil {
			return err
		}
	} else if item, err := pods.Update(r.Context(), r.Namespace, name, set); err != nil {
		return err
	} else if r.s.Journal != nil {
		r.record(item.Object().GetUID(), item.Revision())
	}
	return r.writeObject(http.StatusCreated, &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, apistatus.GVK)
}

// topology returns the labels of a node that its pods get: where it is. One that does not exist
// has none; the pod may be bound to it nevertheless.
func (r *request) topology(node string) map[string]string {
	item, err := r.routes.resource("", "v1", "nodes").collection.Get(r.Context(), "", node, "0")
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion} {
		if value, ok := item.Object().GetLabels()[key]; ok {
			out[key] = value
		}
	}
	return out
}

// assigned returns the pod bound to its node. It shares with the old one what is unchanged.
func assigned(old *corev1.Pod, b *corev1.Binding) (*corev1.Pod, error) {
	conflict := func(format string, args ...any) error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, old.Name, fmt.Errorf(format, args...))
	}
	switch {
	case b.UID != "" && b.UID != old.UID:
		return nil, conflict("Precondition failed: UID in precondition: %v, UID in object meta: %v", b.UID, old.UID)
	case b.ResourceVersion != "" && b.ResourceVersion != old.ResourceVersion:
		return nil, conflict("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", b.ResourceVersion, old.ResourceVersion)
	case old.DeletionTimestamp != nil:
		return nil, conflict("pod %s is being deleted, cannot be assigned to a host", old.Name)
	case old.Spec.NodeName != "":
		return nil, conflict("pod %s is already assigned to node %q", old.Name, old.Spec.NodeName)
	case len(old.Spec.SchedulingGates) > 0:
		return nil, conflict("pod %s has non-empty .spec.schedulingGates", old.Name)
	}
	pod := *old
	pod.Spec.NodeName = b.Target.Name
	pod.Annotations = merged(old.Annotations, b.Annotations)
	pod.Labels = merged(old.Labels, b.Labels)
	pod.Status.Conditions = scheduled(old)
	pod.Status.NominatedNodeName = ""
	return &pod, nil
}

func merged(old, added map[string]string) map[string]string {
	if len(added) == 0 {
		return old
	}
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, added)
	return all
}

// scheduled returns the pod's conditions with PodScheduled true.
func scheduled(pod *corev1.Pod) []corev1.PodCondition {
	old := pod.Status.Conditions
	condition := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now().Rfc3339Copy(),
		ObservedGeneration: pod.Generation,
	}
	i := slices.IndexFunc(old, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
	if i < 0 {
		return append(slices.Clip(old), condition)
	}
	if old[i].Status == corev1.ConditionTrue {
		return old
	}
	conditions := slices.Clone(old)
	conditions[i] = condition
	return conditions
}
