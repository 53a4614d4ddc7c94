package api

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ControllerRevisions keeps the earlier states of DaemonSets and StatefulSets.
var ControllerRevisions = &Kind{
	GroupVersionKind: gvk(appsv1.GroupName, "v1", "ControllerRevision"),
	Plural:           "controllerrevisions", Singular: "controllerrevision", Namespaced: true,
	New:     func() Object { return &appsv1.ControllerRevision{} },
	NewList: func() runtime.Object { return &appsv1.ControllerRevisionList{} },

	Validate: as(checkControllerRevision),
	ValidateUpdate: as2(func(r, old *appsv1.ControllerRevision) field.ErrorList {
		errs := append(checkControllerRevision(r), checkMetaUpdate(&r.ObjectMeta, &old.ObjectMeta)...)
		return append(errs, immutable(r.Data, old.Data, field.NewPath("data"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Controller", "string", 0, "Whose state it is."),
		col("Revision", "string", 0, "Its number."),
		ageColumn,
	},
	Row: as(func(r *appsv1.ControllerRevision) []any {
		controller := "<none>"
		if owner := metav1.GetControllerOf(r); owner != nil {
			gv, _ := schema.ParseGroupVersion(owner.APIVersion)
			controller = strings.ToLower(gv.WithKind(owner.Kind).GroupKind().String()) + "/" + owner.Name
		}
		return []any{r.Name, controller, r.Revision, age(r.CreationTimestamp)}
	}),
}

func checkControllerRevision(r *appsv1.ControllerRevision) field.ErrorList {
	errs := checkMeta(&r.ObjectMeta, true, dnsSubdomain)
	if r.Data.Raw == nil && r.Data.Object == nil {
		errs = append(errs, field.Required(field.NewPath("data"), "data is mandatory"))
	}
	return append(errs, nonnegative(r.Revision, field.NewPath("revision"))...)
}
