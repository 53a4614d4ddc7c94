package apiserver

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/store"
)

// serveSubresource hands a request to the part of an object that its path names. The
// core parts are known by resource; what any kind may have (status, scale) comes last.
func (r *request) serveSubresource() error {
	if r.Name == "" || r.res.collection == nil {
		return errNoSuchPath()
	}
	switch r.res.life.GroupKind() {
	case schema.GroupKind{Kind: "Pod"}:
		if handled, err := r.servePodPart(); handled {
			return err
		}
	case schema.GroupKind{Kind: "Namespace"}:
		if r.Subresource == "finalize" {
			return r.on(verbs{"update": r.finalize})
		}
	case schema.GroupKind{Kind: "ServiceAccount"}:
		if r.Subresource == "token" && r.s.ServiceAccountToken != nil {
			return r.on(verbs{"create": r.createToken})
		}
	case schema.GroupKind{Kind: "Node"}, schema.GroupKind{Kind: "Service"}:
		if r.Subresource == "proxy" {
			return r.proxy()
		}
	}
	switch {
	case r.Subresource == "status" && r.res.life.HasStatus:
		return r.on(verbs{"get": r.get, "update": r.updateStatus, "patch": r.patchStatus})
	case r.Subresource == "scale" && r.res.life.Scale != nil:
		return r.on(verbs{"get": r.getScale, "update": r.updateScale, "patch": r.patchScale})
	case r.Subresource == "approval" && r.res.life.Kind == "CertificateSigningRequest":
		return r.on(verbs{"get": r.get, "update": r.updateStatus, "patch": r.patchStatus})
	}
	return errNoSuchPath()
}

func (r *request) servePodPart() (handled bool, err error) {
	switch r.Subresource {
	case "binding":
		return true, r.on(verbs{"create": r.bindPod})
	case "eviction":
		return true, r.on(verbs{"create": r.evict})
	case "ephemeralcontainers":
		return true, r.on(verbs{"get": r.get, "update": r.updateEphemeral, "patch": r.patchEphemeral})
	case "log":
		return true, r.on(verbs{"get": r.log})
	case "exec", "attach":
		return true, r.on(verbs{"get": r.toContainer, "create": r.toContainer})
	case "portforward":
		return true, r.on(verbs{"get": r.portForward, "create": r.portForward})
	case "proxy":
		return true, r.proxy()
	}
	return false, nil
}

type verbs map[string]func() error

func (r *request) on(v verbs) error {
	f, ok := v[r.Verb]
	if !ok {
		return errMethod(r.info)
	}
	return f()
}

// statusRules are those of a write to the status alone.
func (r *request) statusRules() change {
	k := r.res.life
	return change{prepare: k.PrepareStatus, validate: k.ValidateStatus}
}

func (r *request) updateStatus() error { return r.updatePart(r.statusRules()) }
func (r *request) patchStatus() error  { return r.patchPart(r.statusRules()) }

// updatePart replaces the part of an object that the change's rules leave open.
func (r *request) updatePart(c change) error {
	o, err := updateOptions(r.Request)
	if err != nil {
		return err
	}
	obj, err := r.decodeObject(o.validation)
	if err != nil {
		return err
	}
	if err := r.checkName(obj); err != nil {
		return err
	}
	version := obj.GetResourceVersion()
	c.writeOptions = o
	c.next = func(*store.Item) (api.Object, error) {
		obj.SetResourceVersion(version)
		return obj, nil
	}
	return r.change(c)
}

// finalize replaces a namespace's spec.finalizers; with the last of them the namespace
// goes, if it is being deleted.
func (r *request) finalize() error {
	return r.updatePart(change{
		prepare: func(obj, old api.Object) {
			ns, was := obj.(*corev1.Namespace), old.(*corev1.Namespace)
			finalizers := ns.Spec.Finalizers
			*ns = *was.DeepCopy()
			ns.Spec.Finalizers = finalizers
		},
		validate: func(obj, old api.Object) field.ErrorList { return nil },
	})
}

// ephemeralRules let a write add containers to a running pod, and nothing else.
func ephemeralRules() change {
	return change{
		prepare: func(obj, old api.Object) {
			pod, was := obj.(*corev1.Pod), old.(*corev1.Pod)
			added := pod.Spec.EphemeralContainers
			*pod = *was.DeepCopy()
			pod.Spec.EphemeralContainers = added
		},
		validate: func(obj, old api.Object) field.ErrorList {
			return checkEphemeral(obj.(*corev1.Pod), old.(*corev1.Pod))
		},
	}
}

func (r *request) updateEphemeral() error { return r.updatePart(ephemeralRules()) }
func (r *request) patchEphemeral() error  { return r.patchPart(ephemeralRules()) }

func checkEphemeral(pod, old *corev1.Pod) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec", "ephemeralContainers")
	names := map[string]bool{}
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		names[c.Name] = true
	}
	for i, c := range pod.Spec.EphemeralContainers {
		switch at := path.Index(i).Child("name"); {
		case c.Name == "":
			errs = append(errs, field.Required(at, ""))
		case names[c.Name]:
			errs = append(errs, field.Duplicate(at, c.Name))
		}
		names[c.Name] = true
		if c.Image == "" {
			errs = append(errs, field.Required(path.Index(i).Child("image"), ""))
		}
	}
	for _, c := range old.Spec.EphemeralContainers {
		if !names[c.Name] {
			errs = append(errs, field.Forbidden(path, "existing ephemeral containers \""+c.Name+"\" may not be removed\n"))
		}
	}
	return errs
}

// serveVirtual answers kinds of which nothing is stored.
func (r *request) serveVirtual() error {
	if !r.res.answers(r.Verb) {
		return errMethod(r.info)
	}
	switch r.res.GroupKind() {
	case schema.GroupKind{Kind: "ComponentStatus"}:
		return r.on(verbs{"get": r.getComponent, "list": r.listComponents})
	case schema.GroupKind{Kind: "Binding"}:
		return r.on(verbs{"create": r.bind})
	}
	answer := r.s.Virtual[r.res.GroupVersion().WithResource(r.Plural)]
	if answer == nil {
		return errNoSuchPath()
	}
	return r.on(verbs{"create": func() error { return r.createVirtual(answer) }})
}

func (r *request) createVirtual(answer CreateFunc) error {
	o, err := createOptions(r.Request)
	if err != nil {
		return err
	}
	obj, err := r.decodeObject(o.validation)
	if err != nil {
		return err
	}
	if r.res.Namespaced {
		if err := r.checkNamespace(obj); err != nil {
			return err
		}
	}
	call(r.res.Default, obj)
	if err := invalid(r.res.Kind, obj.GetName(), check(r.res.Validate, obj)); err != nil {
		return err
	}
	result, err := answer(r.Context(), r.user, obj)
	if err != nil {
		return err
	}
	return r.writeObject(http.StatusCreated, result, r.res.GroupVersionKind)
}
