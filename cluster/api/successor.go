package api

import "k8s.io/apimachinery/pkg/runtime/schema"

// succeeded are the kinds of former releases that no kind of the same name follows, with what does. The groups are
// those that had them; an empty version is any.
var succeeded = []struct {
	schema.GroupVersion
	kind, plural, now string
}{
	{schema.GroupVersion{Group: "apps", Version: "v1alpha1"}, "PetSet", "petsets", "use apps/v1 StatefulSet"},
	{schema.GroupVersion{Group: "batch", Version: "v2alpha1"}, "ScheduledJob", "scheduledjobs", "use batch/v1 CronJob"},
	{schema.GroupVersion{Group: "extensions"}, "PodSecurityPolicy", "podsecuritypolicies", "use the label pod-security.kubernetes.io/enforce of a namespace"},
	{schema.GroupVersion{Group: "policy"}, "PodSecurityPolicy", "podsecuritypolicies", "use the label pod-security.kubernetes.io/enforce of a namespace"},
	{schema.GroupVersion{Group: "settings.k8s.io"}, "PodPreset", "podpresets", "there is no successor"},
	{schema.GroupVersion{Group: "extensions"}, "ThirdPartyResource", "thirdpartyresources", "custom resources are not served by this cluster"},
	{schema.GroupVersion{Group: "apiextensions.k8s.io"}, "CustomResourceDefinition", "customresourcedefinitions", "custom resources are not served by this cluster"},
}

// movedFrom are the groups whose kinds have moved to others since.
var movedFrom = map[string]bool{"extensions": true}

// Successor returns a sentence about a version of a kind that is not served and once was, which names today's: "use
// apps/v1 Deployment". The kind may be given by its resource. It is empty for a kind that is served as it is
// named, and for one that there never was.
func (t *Table) Successor(gv schema.GroupVersion, kindOrPlural string) string {
	is := func(kind, plural string) bool { return kindOrPlural == kind || kindOrPlural == plural }
	sentence := func(kind, now string) string { return gv.String() + " " + kind + " is not served; " + now }
	for _, s := range succeeded {
		if s.Group == gv.Group && (s.Version == "" || s.Version == gv.Version) && is(s.kind, s.plural) {
			return sentence(s.kind, s.now)
		}
	}
	for _, k := range t.Served() {
		if k.GroupVersion() == gv && is(k.Kind, k.Plural) {
			return ""
		}
	}
	for _, k := range t.Kinds() {
		if is(k.Kind, k.Plural) && (k.Group == gv.Group || movedFrom[gv.Group]) {
			return sentence(k.Kind, "use "+k.GroupVersion().String()+" "+k.Kind)
		}
	}
	return ""
}
