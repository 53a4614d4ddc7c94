package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/fieldmanager"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// scaling is a request for the subresource scale.
type scaling struct{ *request }

func (r scaling) getScale() error {
	item, err := r.stored()
	if err != nil {
		return err
	}
	return r.writeScale(r.scaleOf(item.Object()))
}

// scaleColumns are what `kubectl get --subresource=scale` prints.
var scaleColumns = tableColumns{
	{Name: "Name", Type: "string", Format: "name", Description: "What is scaled."},
	{Name: "Desired", Type: "integer", Description: "Replicas wanted."},
	{Name: "Available", Type: "integer", Description: "Replicas there are."},
	{Name: "Age", Type: "string", Description: "Time since it was created."},
}

func (r scaling) writeScale(scale *autoscalingv1.Scale) error {
	a, err := negotiate.Response(r.Request, negotiate.Forms{Table: true})
	if err != nil {
		return err
	}
	shown, err := r.servedScale(scale)
	if err != nil {
		return err
	}
	if a.Form != negotiate.Table {
		return r.writeEncoded(http.StatusOK, a, shown, r.res.Scale.Kind())
	}
	include, err := includeObject(r.Request)
	if err != nil {
		return err
	}
	row := metav1.TableRow{Cells: []any{scale.Name, scale.Spec.Replicas, scale.Status.Replicas, duration.HumanDuration(time.Since(scale.CreationTimestamp.Time))}}
	switch include {
	case metav1.IncludeNone:
	case metav1.IncludeObject:
		row.Object.Raw, err = negotiate.Encode(shown, r.res.Scale.Kind(), negotiate.JSON, false)
	default:
		p := partial(shown)
		p.APIVersion, p.Kind = metav1.GroupName+"/"+a.Version, "PartialObjectMetadata"
		row.Object.Object = p
	}
	if err != nil {
		return err
	}
	table := scaleColumns.table(metav1.ListMeta{ResourceVersion: scale.ResourceVersion}, true)
	table.Rows = append(table.Rows, row)
	return r.writeEncoded(http.StatusOK, a, table, metaGVK(a.Version, "Table"))
}

// servedScale returns a Scale in the version of the request.
func (r scaling) servedScale(scale *autoscalingv1.Scale) (api.Object, error) {
	former := r.res.Scale.Retired
	if former.Empty() {
		return scale, nil
	}
	shown, err := api.ScaleToRetired(scale, former)
	if err != nil {
		return nil, fmt.Errorf("a Scale of %s: %w", former, err)
	}
	return shown, nil
}

// decodeScale reads what shownScale shows.
func (r scaling) decodeScale(body []byte, mediaType, validation string) (*autoscalingv1.Scale, error) {
	shown, err := r.servedScale(&autoscalingv1.Scale{})
	if err != nil {
		return nil, err
	}
	if err := r.decodeBytes(body, mediaType, shown, r.res.Scale.Kind(), validation); err != nil {
		return nil, err
	}
	if scale, ok := shown.(*autoscalingv1.Scale); ok {
		return scale, nil
	}
	return api.ScaleFromRetired(shown), nil
}

// scaleOf is an object as an autoscaling/v1 Scale.
func (r scaling) scaleOf(obj api.Object) *autoscalingv1.Scale {
	v := r.res.Storage().Scale.Get(obj)
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: v.Spec},
		Status: autoscalingv1.ScaleStatus{Replicas: v.Status, Selector: v.Selector},
	}
}

func (r scaling) updateScale() error {
	o, err := updateOptions(r.Request)
	if err != nil {
		return err
	}
	body, err := r.readBody()
	if err != nil {
		return err
	}
	wanted, err := r.decodeScale(body, negotiate.BodyType(r.Request), o.validation)
	if err != nil {
		return err
	}
	return r.changeScale(&o, func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error) { return wanted.DeepCopy(), nil })
}

func (r scaling) patchScale() error {
	patchType := types.PatchType(negotiate.BodyType(r.Request))
	o, err := patchOptions(r.Request, patchType)
	if err != nil {
		return err
	}
	body, err := r.readBody()
	if err != nil {
		return err
	}
	if patchType == types.ApplyPatchType {
		return r.applyScale(&o, body)
	}
	return r.changeScale(&o, func(cur *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		return r.patchedScale(patchType, body, cur, o.validation)
	})
}

// applyScale is server-side apply of a Scale, which has one field to own.
func (r scaling) applyScale(o *writeOptions, body []byte) error {
	kind := r.res.Scale.Kind()
	shown, err := r.servedScale(&autoscalingv1.Scale{})
	if err != nil {
		return err
	}
	wanted, err := r.decodeApplied(body, kind, shown)
	if err != nil {
		return err
	}
	if kind != fieldmanager.ScaleKind {
		wanted.SetGroupVersionKind(fieldmanager.ScaleKind)
		delete(wanted.Object, "status")
	}
	m := r.scaleManager()
	o.applied = true
	return r.changeScale(o, func(cur *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		merged, err := m.Apply(cur, wanted, o.manager, o.force)
		if err != nil {
			return nil, applyError(err)
		}
		return merged.(*autoscalingv1.Scale), nil
	})
}

// scaleManager returns the field manager of Scales of the request's resource.
func (r scaling) scaleManager() *fieldmanager.Manager {
	return r.res.managers.get("scale", func() *fieldmanager.Manager {
		return fieldmanager.New(fieldmanager.Config{
			Kind: fieldmanager.ScaleKind, Subresource: "scale", New: func() api.Object { return &autoscalingv1.Scale{} },
			Types:     func() (managedfields.TypeConverter, error) { return fieldmanager.ScaleTypes(api.Scheme) },
			Converter: api.Scheme, Defaulter: api.Scheme, Maker: api.Scheme,
		})
	})
}

func (r scaling) patchedScale(patchType types.PatchType, patch []byte, cur *autoscalingv1.Scale, validation string) (*autoscalingv1.Scale, error) {
	shown, err := r.servedScale(cur)
	if err != nil {
		return nil, err
	}
	doc, err := negotiate.Encode(shown, r.res.Scale.Kind(), negotiate.JSON, false)
	if err != nil {
		return nil, err
	}
	var on func(doc []byte) ([]byte, error)
	switch patchType {
	case types.JSONPatchType:
		on, err = jsonPatch(r.Context(), patch)
	case types.MergePatchType:
		on, err = mergePatch(r.Context(), patch)
	case types.StrategicMergePatchType:
		on, err = strategicPatch(patch, shown)
	default:
		return nil, apistatus.UnsupportedPatchType()
	}
	if err != nil {
		return nil, applyError(err)
	}
	out, err := on(doc)
	if err != nil {
		return nil, err
	}
	if !json.Valid(out) {
		return nil, apistatus.BadRequest("error decoding patch: the result is not JSON")
	}
	return r.decodeScale(out, "application/json", validation)
}

// changeScale sets the replicas of the Scale, by the kind's own rules. Its managedFields are
// those of the object that concern the replicas.
func (r scaling) changeScale(o *writeOptions, next func(cur *autoscalingv1.Scale) (*autoscalingv1.Scale, error)) error {
	m := r.scaleManager()
	applied := o.applied
	o.applied = true // to the object itself, of which the entries are made here
	item, obj, err := r.write(r.Context(), change{writeOptions: *o, next: func(cur *store.Item) (api.Object, error) {
		owners := fieldmanager.NewScale(cur.Object().GetManagedFields(), r.res.GroupVersion(), versionsOf(r.res.Kind))
		live := r.scaleOf(cur.Object())
		entries, err := owners.OfScale()
		if err != nil {
			return nil, err
		}
		live.ManagedFields = entries
		scale, err := next(live.DeepCopy())
		if err != nil {
			return nil, err
		}
		if !applied {
			m.Update(live, scale, o.manager)
		}
		if err := r.checkScale(scale); err != nil {
			return nil, err
		}
		obj := cur.Object().DeepCopyObject().(api.Object)
		r.res.Storage().Scale.Set(obj, scale.Spec.Replicas)
		obj.SetResourceVersion(scale.ResourceVersion)
		obj.SetUID(scale.UID)
		entries, err = owners.OfObject(scale.ManagedFields)
		obj.SetManagedFields(entries)
		return obj, err
	}})
	if err != nil {
		return err
	}
	if item != nil {
		obj = item.Object()
	}
	return r.writeScale(r.scaleOf(obj))
}

func (r scaling) checkScale(scale *autoscalingv1.Scale) error {
	if scale.Name != r.Name {
		return apistatus.BadRequest("the name of the object (%s) does not match the name on the URL (%s)", scale.Name, r.Name)
	}
	if scale.Namespace != "" && scale.Namespace != r.Namespace {
		return apistatus.BadRequest("the namespace of the object (%s) does not match the namespace on the request (%s)", scale.Namespace, r.Namespace)
	}
	path := field.NewPath("spec", "replicas")
	errs := apivalidation.ValidateNonnegativeField(int64(scale.Spec.Replicas), path)
	return apistatus.Invalid(r.res.Scale.Kind().GroupKind(), r.Name, errs)
}
