package apiserver

import (
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// serveSubresource hands a request to the part of an object that its path names. The
// core parts are known by resource; what any kind may have (status, scale, another way
// to write the object) comes last.
func (r *request) serveSubresource() error {
	if r.Name == "" || r.res.collection == nil {
		return errNoSuchPath()
	}
	switch r.res.life.GroupKind() {
	case schema.GroupKind{Kind: "Pod"}:
		if handled, err := r.servePodPart(); handled {
			return err
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
	}
	if r.Subresource == "rollback" && r.res.Sub(r.Subresource) != nil {
		return r.on(verbs{"create": r.rollback})
	}
	if sub := r.res.life.Sub(r.Subresource); sub != nil && sub.Prepare != nil {
		return r.writeSubresource(sub)
	}
	return errNoSuchPath()
}

func (r *request) servePodPart() (handled bool, err error) {
	switch r.Subresource {
	case "binding":
		return true, r.on(verbs{"create": r.bindPod})
	case "eviction":
		return true, r.on(verbs{"create": r.evict})
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

// writeSubresource answers for one that is another way to write the object, by the
// kind's rules for it.
func (r *request) writeSubresource(sub *api.Subresource) error {
	if !slices.Contains(sub.Verbs, r.Verb) {
		return errMethod(r.info)
	}
	rules := change{prepare: sub.Prepare, validate: sub.Validate}
	return r.on(verbs{
		"get":    r.get,
		"update": func() error { return r.updatePart(rules) },
		"patch":  func() error { return r.patchPart(rules) },
	})
}

// serveVirtual answers kinds of which nothing is stored.
func (r *request) serveVirtual() error {
	if !r.res.answers(r.Verb) {
		return errMethod(r.info)
	}
	switch r.res.GroupKind() {
	case schema.GroupKind{Kind: "ComponentStatus"}:
		return r.on(verbs{"get": r.getComponent, "list": r.listComponents})
	case api.NodeMetrics.GroupKind():
		return r.readComputed(r.nodeMetrics)
	case api.PodMetrics.GroupKind():
		return r.readComputed(r.podMetrics)
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
	a, err := negotiate(r.Request, formsNone) // what is not stored has no rows
	if err != nil {
		return err
	}
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
	body, err := encodeObject(result, r.res.GroupVersionKind, a.media, isPretty(r.Request))
	if err != nil {
		return err
	}
	return r.writeBody(http.StatusCreated, a.media.contentType, body)
}
