package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/budget"
	"wheelhouse/cluster/apiserver/jsonpatch"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// maxPatchOperations is the longest JSON patch; each operation costs a walk through
// the object.
const maxPatchOperations = 10000

func (r *lifecycle) patch() error { return r.patchSubresource(change{}) }

// patchSubresource patches the resource, or the fields that the change's subresource may write.
func (r *lifecycle) patchSubresource(c change) error {
	patchType := types.PatchType(negotiate.BodyType(r.Request))
	o, err := patchOptions(r.Request, patchType)
	if err != nil {
		return err
	}
	body, err := r.readBody()
	if err != nil {
		return err
	}
	c.writeOptions = o
	if patchType == types.ApplyPatchType {
		return applying{r}.apply(c, body)
	}
	p, err := r.newPatch(patchType, body, o.validation)
	if err != nil {
		return err
	}
	c.next = func(cur *store.Item) (api.Object, error) {
		obj, err := p.on(cur)
		if err != nil {
			return nil, err
		}
		if err := r.checkName(obj); err != nil {
			return nil, err
		}
		return r.toStored(obj)
	}
	return r.change(c)
}

// patcher applies a patch to an object.
type patcher struct {
	r          *lifecycle
	validation string
	// status: only metadata and status of the result count.
	status bool
	onJSON func(doc []byte) ([]byte, error) // JSON and merge patches
	body   []byte                           // strategic merge
	patch  map[string]any                   // body, until the first merge, which changes it
	plain  bool                             // it has only fields of the kind, and no directives
}

func (r *lifecycle) newPatch(patchType types.PatchType, body []byte, validation string) (*patcher, error) {
	p := &patcher{r: r, validation: validation, status: r.Subresource == "status"}
	switch patchType {
	case types.JSONPatchType:
		var err error
		if p.onJSON, err = jsonPatch(r.Context(), body); err != nil {
			return nil, err
		}
	case types.MergePatchType:
		var err error
		if p.onJSON, err = mergePatch(r.Context(), body); err != nil {
			return nil, err
		}
	case types.StrategicMergePatchType:
		if !r.res.Supports(api.Protobuf) {
			return nil, r.unsupportedPatch()
		}
		body = p.r.respell(body)
		alone := p.r.res.New()
		if err := api.CheckQuantities(body, true, alone); err != nil {
			return nil, apistatus.BadRequest("error decoding patch: %v", err)
		}
		p.body = body
		var err error
		if p.patch, err = p.document(); err != nil {
			return nil, apistatus.BadRequest("error decoding patch: %v", err)
		}
		// Unknown fields can come from the patch alone, and it is smaller than the object.
		unknown, err := kjson.UnmarshalStrict(body, alone)
		p.plain = err == nil && len(unknown) == 0
	default:
		return nil, r.unsupportedPatch()
	}
	return p, nil
}

// unsupportedPatch refuses a patch in none of the types of the resource. As upstream, a custom
// kind names them.
func (r *lifecycle) unsupportedPatch() error {
	if r.res.Supports(api.Protobuf) {
		return apistatus.UnsupportedPatchType()
	}
	return apistatus.UnsupportedMediaType("application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml")
}

// jsonPatch and mergePatch are what a patch makes of a document. They end with ctx.
func jsonPatch(ctx context.Context, body []byte) (func(doc []byte) ([]byte, error), error) {
	patch, err := jsonpatch.Decode(body)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field == "" { // with upstream's name of the type
		err = fmt.Errorf("json: cannot unmarshal %s into Go value of type []handlers.jsonPatchOp", wrong.Value)
	}
	if err != nil {
		return nil, apistatus.BadRequest("error decoding patch: %v", err)
	}
	if len(patch) > maxPatchOperations {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"The allowed maximum operations in a JSON patch is %d, got %d", maxPatchOperations, len(patch)))
	}
	return func(doc []byte) ([]byte, error) {
		out, err := patch.Apply(ctx, doc)
		return out, patchError(ctx, err, unprocessable)
	}, nil
}

func mergePatch(ctx context.Context, body []byte) (func(doc []byte) ([]byte, error), error) {
	if err := json.Unmarshal(body, &map[string]json.RawMessage{}); err != nil {
		if named := json.Unmarshal(body, &map[string]any{}); named != nil { // without a type of ours
			err = named
		}
		return nil, apistatus.BadRequest("error decoding patch: %v", err)
	}
	return func(doc []byte) ([]byte, error) {
		out, err := jsonpatch.Merge(ctx, doc, body)
		return out, patchError(ctx, err, func(err error) error { return apistatus.BadRequest("%v", err) })
	}, nil
}

// patchError is the answer to a patch that could not be applied: refused, unless its time
// or its budget was over.
func patchError(ctx context.Context, err error, refused func(error) error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, jsonpatch.ErrTooMuchWork):
		return apierrors.NewRequestEntityTooLargeError(err.Error() + "; split it into several patches")
	}
	return refused(err)
}

func (p *patcher) on(cur *store.Item) (api.Object, error) {
	if p.onJSON != nil {
		return p.applyJSON(cur)
	}
	return p.applyStrategic(cur)
}

func (p *patcher) applyJSON(cur *store.Item) (api.Object, error) {
	res := p.r.res
	doc, err := res.encoded(p.r.Context(), cur, negotiate.JSON)
	if err != nil {
		return nil, err
	}
	return p.patchedJSON(doc)
}

func (p *patcher) patchedJSON(doc []byte) (api.Object, error) {
	res := p.r.res
	patched, err := p.onJSON(doc)
	if err != nil {
		return nil, err
	}
	if len(patched) > apistatus.MaxBody {
		return nil, apistatus.BodyTooLarge()
	}
	if err := budget.JSON(patched); err != nil {
		return nil, apistatus.TooExpensive(err)
	}
	p.r.bodySize = max(p.r.bodySize, len(patched))
	obj := res.New()
	if _, err := p.r.decodeText(patched, "application/json", obj, res.GroupVersionKind, p.validation); err != nil {
		return nil, refusePatched(patched, err)
	}
	return obj, nil
}

// refusePatched returns the error for the result of a patch that is not an object of the kind: as upstream, with no name and kind of
// its own, and with that result.
func refusePatched(patched []byte, err error) error {
	if apierrors.IsRequestEntityTooLargeError(err) {
		return err
	}
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), shortened(patched), err.Error()),
	})
}

// shortened is a text as an error shows it, where it has no other bound.
func shortened(text []byte) string {
	const most = 64 << 10
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}

func (p *patcher) applyStrategic(cur *store.Item) (api.Object, error) {
	view, err := p.r.res.fromStored(p.r.Context(), cur.Object())
	if err != nil {
		return nil, err
	}
	return p.merged(patchable(view, p.status))
}

func (p *patcher) merged(view api.Object) (api.Object, error) {
	res := p.r.res
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(view)
	if err != nil {
		return nil, fmt.Errorf("preparing a patch: %w", err)
	}
	patch, err := p.document()
	if err != nil {
		return nil, err
	}
	p.patch = nil // the merge changes its arguments, and this may run again
	patched, err := mergeStrategic(doc, patch, res.New())
	if err != nil {
		return nil, strategicError(err)
	}
	obj := res.New()
	strict := p.validation != metav1.FieldValidationIgnore && !p.plain
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, obj, strict)
	if unknown, ok := runtime.AsStrictDecodingError(err); ok && p.validation != metav1.FieldValidationStrict {
		for _, e := range unknown.Errors() {
			p.r.w.Warn(e.Error())
		}
		err = nil
	}
	if err != nil {
		patch, _ := p.document() // it was decoded before
		return nil, refusePatched(fmt.Appendf(nil, "%+v", patch), err)
	}
	return obj, checkManagedFields(obj)
}

// document returns the strategic merge patch as a document.
func (p *patcher) document() (map[string]any, error) {
	if p.patch != nil {
		return p.patch, nil
	}
	var patch map[string]any
	err := kjson.UnmarshalCaseSensitivePreserveInts(p.body, &patch)
	return patch, err
}
