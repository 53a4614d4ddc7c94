// Package builtin lists the kinds that the server serves at its start. The rules of each kind are in the package
// of its group. Tests of the rules are here, since they iterate over the list.
package builtin

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/autoscaling"
	"wheelhouse/cluster/api/batch"
	"wheelhouse/cluster/api/certificates"
	"wheelhouse/cluster/api/coordination"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/discovery"
	"wheelhouse/cluster/api/metrics"
	"wheelhouse/cluster/api/networking"
	"wheelhouse/cluster/api/node"
	"wheelhouse/cluster/api/policy"
	"wheelhouse/cluster/api/rbac"
	"wheelhouse/cluster/api/review"
	"wheelhouse/cluster/api/scheduling"
	"wheelhouse/cluster/api/storage"
)

// Kinds is every kind that the cluster serves under its own name.
var Kinds = []*api.Kind{
	core.Bindings,
	core.ComponentStatuses,
	core.ConfigMaps,
	core.Endpoints,
	core.Events,
	core.LimitRanges,
	core.Namespaces,
	core.Nodes,
	core.PersistentVolumeClaims,
	core.PersistentVolumes,
	core.Pods,
	core.PodTemplates,
	core.ReplicationControllers,
	core.ResourceQuotas,
	core.Secrets,
	core.ServiceAccounts,
	core.Services,

	review.TokenReviews,
	review.SelfSubjectReviews,
	review.LocalSubjectAccessReviews,
	review.SelfSubjectAccessReviews,
	review.SelfSubjectRulesReviews,
	review.SubjectAccessReviews,
	certificates.CertificateSigningRequests,

	apps.ControllerRevisions,
	apps.DaemonSets,
	apps.Deployments,
	apps.ReplicaSets,
	apps.StatefulSets,
	autoscaling.HorizontalPodAutoscalers,
	batch.CronJobs,
	batch.Jobs,
	networking.IngressClasses,
	networking.Ingresses,
	policy.PodDisruptionBudgets,
	node.RuntimeClasses,

	coordination.Leases,
	discovery.EndpointSlices,
	rbac.ClusterRoleBindings,
	rbac.ClusterRoles,
	rbac.RoleBindings,
	rbac.Roles,
	scheduling.PriorityClasses,
	storage.StorageClasses,
	metrics.NodeMetrics,
	metrics.PodMetrics,
}

// Aliases are further names of kinds in Kinds; see Kind.Stored.
var Aliases = []*api.Kind{
	core.EventsV1,
	autoscaling.HorizontalPodAutoscalersV1,

	// retired versions, the newer of a group first
	apps.ControllerRevisionsV1beta2,
	apps.DaemonSetsV1beta2,
	apps.DeploymentsV1beta2,
	apps.ReplicaSetsV1beta2,
	apps.StatefulSetsV1beta2,
	apps.ControllerRevisionsV1beta1,
	apps.DeploymentsV1beta1,
	apps.StatefulSetsV1beta1,
	batch.CronJobsV1beta1,
	networking.IngressClassesV1beta1,
	networking.IngressesV1beta1,
	policy.PodDisruptionBudgetsV1beta1,
	apps.DaemonSetsExtensions,
	apps.DeploymentsExtensions,
	networking.IngressesExtensions,
	apps.ReplicaSetsExtensions,
}

var (
	byPath = map[schema.GroupVersionResource]*api.Kind{}
	byGVK  = map[schema.GroupVersionKind]*api.Kind{}
)

// The maps are filled here because a kind's own functions may look up others, which
// would make a composite literal an initialisation cycle.
func init() {
	for _, list := range [][]*api.Kind{Kinds, Aliases} {
		for _, k := range list {
			byPath[k.GroupVersion().WithResource(k.Plural)] = k
			byGVK[k.GroupVersionKind] = k
		}
	}
}

// Lookup finds the kind behind a path such as /apis/<group>/<version>/<plural>, nil if
// there is none. It finds aliases too: their Stored says whose objects they show.
func Lookup(group, version, plural string) *api.Kind {
	return byPath[schema.GroupVersionResource{Group: group, Version: version, Resource: plural}]
}

// ByGVK finds the kind (or alias) that objects with this apiVersion and kind are of,
// nil if there is none.
func ByGVK(gvk schema.GroupVersionKind) *api.Kind { return byGVK[gvk] }
