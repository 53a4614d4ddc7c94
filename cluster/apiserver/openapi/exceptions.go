package openapi

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// optional fields that encoding/json writes always: their tags lack omitempty, yet the
// API takes objects without them.
var optional = map[string]bool{
	"k8s.io/api/core/v1.TypedObjectReference.APIGroup":                   true,
	"k8s.io/api/core/v1.AzureFilePersistentVolumeSource.SecretNamespace": true,
	"k8s.io/api/core/v1.ProjectedVolumeSource.Sources":                   true,
	"k8s.io/api/core/v1.GRPCAction.Service":                              true,
	"k8s.io/api/core/v1.NodeRuntimeHandler.Name":                         true,
	"k8s.io/api/core/v1.ContainerImage.Names":                            true,
	"k8s.io/api/core/v1.TypedLocalObjectReference.APIGroup":              true,
	"k8s.io/api/core/v1.Event.ReportingController":                       true,
	"k8s.io/api/core/v1.Event.ReportingInstance":                         true,
	"k8s.io/api/discovery/v1.EndpointSlice.Ports":                        true,
	"k8s.io/api/rbac/v1.RoleRef.APIGroup":                                true,
	"k8s.io/api/rbac/v1.Role.Rules":                                      true,
	"k8s.io/api/rbac/v1.ClusterRole.Rules":                               true,
	"k8s.io/api/events/v1.Event.ObjectMeta":                              true,
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
}

func values[T ~string]() reflect.Type { return reflect.TypeFor[T]() }
