// Package builtin lists the kinds that the server serves at its start. The rules of each kind are in the package
// of its group. Tests of the rules are here, since they iterate over the list.
package builtin

import (
	"sync"

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
	networking.NetworkPolicies,
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

// Table returns the table of Kinds, which is always the same.
var Table = sync.OnceValue(func() *api.Table {
	t, err := api.NewTable(Kinds...)
	if err != nil {
		panic(err) // two kinds of one name in the list above
	}
	return t
})

// Lookup returns the kind of Table of a path such as /apis/<group>/<version>/<plural>, nil
// if there is none.
func Lookup(group, version, plural string) *api.Kind { return Table().Lookup(group, version, plural) }
