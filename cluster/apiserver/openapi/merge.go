package openapi

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/applyconfigurations"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"

	"wheelhouse/cluster/api"
)

// mergeRules are how lists and maps are merged by server-side apply. Go types do not
// have it; client-go's schema for apply does.
type mergeRules struct {
	types map[string]*smdschema.Atom
}

var loadMergeRules = sync.OnceValue(func() *mergeRules {
	r := &mergeRules{types: map[string]*smdschema.Atom{}}
	// Any typed object leads to the schema of all of them.
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
	typed, err := applyconfigurations.NewTypeConverter(api.Scheme).ObjectToTyped(pod)
	if err != nil {
		return r
	}
	all := typed.Schema().Types
	for i := range all {
		r.types[all[i].Name] = &all[i].Atom
	}
	return r
})

// addMergeRules writes a field's rule as the x-kubernetes extensions have it.
func addMergeRules(p doc, atom *smdschema.Atom, name string) {
	if atom == nil || atom.Map == nil {
		return
	}
	f, ok := atom.Map.FindField(name)
	if !ok {
		return
	}
	relation := f.Type.ElementRelationship
	if list := f.Type.Inlined.List; list != nil {
		if relation == nil {
			relation = &list.ElementRelationship
		}
		switch {
		case *relation == smdschema.Atomic:
			p["x-kubernetes-list-type"] = "atomic"
		case len(list.Keys) > 0:
			p["x-kubernetes-list-type"] = "map"
			p["x-kubernetes-list-map-keys"] = list.Keys
		default:
			p["x-kubernetes-list-type"] = "set"
		}
		return
	}
	if m := f.Type.Inlined.Map; m != nil && m.ElementRelationship == smdschema.Atomic {
		p["x-kubernetes-map-type"] = "atomic"
	}
}
