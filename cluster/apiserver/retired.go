package apiserver

import (
	"fmt"
	"net/http"

	appsv1beta1 "k8s.io/api/apps/v1beta1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/store"
)

// What the types of retired versions say of themselves.
type (
	deprecated interface{ APILifecycleDeprecated() (major, minor int) }
	removed    interface{ APILifecycleRemoved() (major, minor int) }
	replaced   interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}
)

// retirementOf returns the warning that goes with every answer about a kind in a version that
// is deprecated, or that Kubernetes no longer has, "" for others. Here they stay.
func retirementOf(k *api.Kind) string {
	obj := k.New()
	d, ok := obj.(deprecated)
	if k.Deprecated != "" || !ok {
		return k.Deprecated
	}
	major, minor := d.APILifecycleDeprecated()
	text := fmt.Sprintf("%s %s is deprecated in v%d.%d+", k.GroupVersion(), k.Kind, major, minor)
	if r, ok := obj.(removed); ok {
		major, minor := r.APILifecycleRemoved()
		text += fmt.Sprintf(", unavailable in v%d.%d+", major, minor)
	}
	if r, ok := obj.(replaced); ok {
		gvk := r.APILifecycleReplacement()
		text += fmt.Sprintf("; use %s %s", gvk.GroupVersion(), gvk.Kind)
	}
	return text
}

// rollback answers POST deployments/NAME/rollback of the versions that went back in the
// server: it leaves the revision in the Deployment, for the controller.
func (r *request) rollback() error {
	o, err := createOptions(r.Request)
	if err != nil {
		return err
	}
	wanted, err := r.decodeRollback(o.validation)
	if err != nil {
		return err
	}
	if wanted.Name != r.Name {
		return apistatus.BadRequest("the name of the object (%s) does not match the name on the URL (%s)", wanted.Name, r.Name)
	}
	_, _, err = r.write(r.Context(), change{writeOptions: o, next: func(cur *store.Item) (api.Object, error) {
		obj := cur.Object().DeepCopyObject().(api.Object)
		annotations := map[string]string{apps.RollbackTo: fmt.Sprint(wanted.RollbackTo.Revision)}
		for _, from := range []map[string]string{obj.GetAnnotations(), wanted.UpdatedAnnotations} {
			for k, v := range from {
				if k != apps.RollbackTo {
					annotations[k] = v
				}
			}
		}
		obj.SetAnnotations(annotations)
		return obj, nil
	}})
	if err != nil {
		return err
	}
	return r.writeObject(http.StatusOK, &metav1.Status{
		Status: metav1.StatusSuccess, Code: http.StatusOK,
		Message: fmt.Sprintf("rollback request for deployment %q succeeded", r.Name),
	}, apistatus.GVK)
}

func (r *request) decodeRollback(validation string) (*extensionsv1beta1.DeploymentRollback, error) {
	wanted := &extensionsv1beta1.DeploymentRollback{}
	gvk := r.res.Sub(r.Subresource).Kind
	if gvk.GroupVersion() == appsv1beta1.SchemeGroupVersion {
		other := &appsv1beta1.DeploymentRollback{}
		if err := r.decode(other, gvk, validation); err != nil {
			return nil, err
		}
		wanted.Name, wanted.UpdatedAnnotations = other.Name, other.UpdatedAnnotations
		wanted.RollbackTo.Revision = other.RollbackTo.Revision
	} else if err := r.decode(wanted, gvk, validation); err != nil {
		return nil, err
	}
	var errs field.ErrorList
	if wanted.Name == "" {
		errs = append(errs, field.Required(field.NewPath("name"), "name is required"))
	}
	if n := wanted.RollbackTo.Revision; n < 0 {
		errs = append(errs, field.Invalid(field.NewPath("rollback", "version"), n, "must be greater than or equal to 0"))
	}
	return wanted, apistatus.Invalid(gvk.GroupKind(), r.Name, errs)
}
