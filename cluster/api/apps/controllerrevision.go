package apps

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// ControllerRevisions is the kind ControllerRevision: a past state of a DaemonSet or StatefulSet.
var ControllerRevisions = api.Of[appsv1.ControllerRevision, appsv1.ControllerRevisionList](&api.Kind{
	GroupVersionKind: api.GVK(appsv1.GroupName, "v1", "ControllerRevision"),
	Plural:           "controllerrevisions", Singular: "controllerrevision", Namespaced: true,
	Versions: []api.Version{ControllerRevisionsV1beta2, ControllerRevisionsV1beta1},

	Validate: rules.Typed(validateControllerRevision),
	ValidateUpdate: rules.TypedUpdate(func(r, old *appsv1.ControllerRevision) field.ErrorList {
		errs := append(validateControllerRevision(r), rules.ValidateObjectMetaUpdate(&r.ObjectMeta, &old.ObjectMeta)...)
		return append(errs, rules.Immutable(r.Data, old.Data, field.NewPath("data"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Controller", "string", 0, "Controller of the object"),
		rules.Column("Revision", "string", 0, rules.Doc(appsv1.ControllerRevision{}, "revision")),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(r *appsv1.ControllerRevision) []any {
		controller := "<none>"
		if owner := metav1.GetControllerOf(r); owner != nil {
			gv, _ := schema.ParseGroupVersion(owner.APIVersion)
			controller = strings.ToLower(gv.WithKind(owner.Kind).GroupKind().String()) + "/" + owner.Name
		}
		return []any{r.Name, controller, r.Revision, rules.Age(r.CreationTimestamp)}
	}),
})

func validateControllerRevision(r *appsv1.ControllerRevision) field.ErrorList {
	errs := rules.ValidateObjectMeta(&r.ObjectMeta, true, rules.DNSSubdomain)
	if r.Data.Raw == nil && r.Data.Object == nil {
		errs = append(errs, field.Required(field.NewPath("data"), "data is mandatory"))
	}
	return append(errs, rules.NonNegative(r.Revision, field.NewPath("revision"))...)
}
