package openapi

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// optional fields that encoding/json writes always: their tags lack omitempty, yet the
// API takes objects without them.
var optional = map[string]bool{
	"k8s.io/api/core/v1.TypedObjectReference.APIGroup":                       true,
	"k8s.io/api/core/v1.AzureFilePersistentVolumeSource.SecretNamespace":     true,
	"k8s.io/api/core/v1.ProjectedVolumeSource.Sources":                       true,
	"k8s.io/api/core/v1.GRPCAction.Service":                                  true,
	"k8s.io/api/core/v1.NodeRuntimeHandler.Name":                             true,
	"k8s.io/api/core/v1.ContainerImage.Names":                                true,
	"k8s.io/api/core/v1.TypedLocalObjectReference.APIGroup":                  true,
	"k8s.io/api/core/v1.Event.ReportingController":                           true,
	"k8s.io/api/core/v1.Event.ReportingInstance":                             true,
	"k8s.io/api/discovery/v1.EndpointSlice.Ports":                            true,
	"k8s.io/api/rbac/v1.RoleRef.APIGroup":                                    true,
	"k8s.io/api/rbac/v1.Role.Rules":                                          true,
	"k8s.io/api/rbac/v1.ClusterRole.Rules":                                   true,
	"k8s.io/api/events/v1.Event.ObjectMeta":                                  true,
	"k8s.io/api/apps/v1.StatefulSetOrdinals.Start":                           true,
	"k8s.io/api/apps/v1.StatefulSetSpec.ServiceName":                         true,
	"k8s.io/api/apps/v1.StatefulSetStatus.AvailableReplicas":                 true,
	"k8s.io/api/apps/v1beta1.StatefulSetOrdinals.Start":                      true,
	"k8s.io/api/apps/v1beta1.StatefulSetSpec.ServiceName":                    true,
	"k8s.io/api/apps/v1beta1.StatefulSetStatus.AvailableReplicas":            true,
	"k8s.io/api/apps/v1beta2.StatefulSetOrdinals.Start":                      true,
	"k8s.io/api/apps/v1beta2.StatefulSetSpec.ServiceName":                    true,
	"k8s.io/api/apps/v1beta2.StatefulSetStatus.AvailableReplicas":            true,
	"k8s.io/api/batch/v1.PodFailurePolicyOnPodConditionsPattern.Status":      true,
	"k8s.io/api/policy/v1.PodDisruptionBudgetStatus.DisruptionsAllowed":      true,
	"k8s.io/api/policy/v1.PodDisruptionBudgetStatus.CurrentHealthy":          true,
	"k8s.io/api/policy/v1.PodDisruptionBudgetStatus.DesiredHealthy":          true,
	"k8s.io/api/policy/v1.PodDisruptionBudgetStatus.ExpectedPods":            true,
	"k8s.io/api/autoscaling/v2.HorizontalPodAutoscalerStatus.CurrentMetrics": true,
	"k8s.io/api/networking/v1.IngressClassParametersReference.Scope":         true,
}

// enums are the values of those string types that have a closed set; kubectl explain
// lists them.
var enums = map[reflect.Type][]string{
	values[corev1.PullPolicy]():                    {"Always", "IfNotPresent", "Never"},
	values[corev1.RestartPolicy]():                 {"Always", "Never", "OnFailure"},
	values[corev1.DNSPolicy]():                     {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
	values[corev1.Protocol]():                      {"SCTP", "TCP", "UDP"},
	values[corev1.URIScheme]():                     {"HTTP", "HTTPS"},
	values[corev1.TerminationMessagePolicy]():      {"FallbackToLogsOnError", "File"},
	values[corev1.TaintEffect]():                   {"NoExecute", "NoSchedule", "PreferNoSchedule"},
	values[corev1.TolerationOperator]():            {"Equal", "Exists"},
	values[corev1.NodeSelectorOperator]():          {"DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"},
	values[corev1.UnsatisfiableConstraintAction](): {"DoNotSchedule", "ScheduleAnyway"},
	values[corev1.HostPathType]():                  {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"},
	values[corev1.MountPropagationMode]():          {"Bidirectional", "HostToContainer", "None"},
	values[corev1.ServiceType]():                   {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"},
	values[corev1.ServiceAffinity]():               {"ClientIP", "None"},
	values[corev1.ServiceExternalTrafficPolicy]():  {"Cluster", "Local"},
	values[corev1.ServiceInternalTrafficPolicy]():  {"Cluster", "Local"},
	values[corev1.IPFamilyPolicy]():                {"PreferDualStack", "RequireDualStack", "SingleStack"},
	values[corev1.PersistentVolumeReclaimPolicy](): {"Delete", "Recycle", "Retain"},
	values[corev1.PersistentVolumeMode]():          {"Block", "Filesystem"},
	values[corev1.PreemptionPolicy]():              {"Never", "PreemptLowerPriority"},
	values[corev1.PodPhase]():                      {"Failed", "Pending", "Running", "Succeeded", "Unknown"},
	values[corev1.NamespacePhase]():                {"Active", "Terminating"},
	values[corev1.PersistentVolumePhase]():         {"Available", "Bound", "Failed", "Pending", "Released"},
	values[corev1.PersistentVolumeClaimPhase]():    {"Bound", "Lost", "Pending"},
	values[discoveryv1.AddressType]():              {"FQDN", "IPv4", "IPv6"},

	values[appsv1.DeploymentStrategyType]():               {"Recreate", "RollingUpdate"},
	values[appsv1.DaemonSetUpdateStrategyType]():          {"OnDelete", "RollingUpdate"},
	values[appsv1.StatefulSetUpdateStrategyType]():        {"OnDelete", "RollingUpdate"},
	values[appsv1.PodManagementPolicyType]():              {"OrderedReady", "Parallel"},
	values[batchv1.CompletionMode]():                      {"Indexed", "NonIndexed"},
	values[batchv1.ConcurrencyPolicy]():                   {"Allow", "Forbid", "Replace"},
	values[batchv1.PodFailurePolicyAction]():              {"Count", "FailIndex", "FailJob", "Ignore"},
	values[batchv1.PodFailurePolicyOnExitCodesOperator](): {"In", "NotIn"},
	values[batchv1.PodReplacementPolicy]():                {"Failed", "TerminatingOrFailed"},
	values[policyv1.UnhealthyPodEvictionPolicyType]():     {"AlwaysAllow", "IfHealthyBudget"},
	values[networkingv1.PathType]():                       {"Exact", "ImplementationSpecific", "Prefix"},
}

func values[T ~string]() reflect.Type { return reflect.TypeFor[T]() }
