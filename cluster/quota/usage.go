package quota

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	helper "k8s.io/component-helpers/resource"

	"wheelhouse/cluster/api/podfacts"
)

const (
	countPrefix = "count/"
	classInfix  = ".storageclass.storage.k8s.io/"
)

// The resources whose objects use more than an object count.
var (
	Pods     = schema.GroupResource{Resource: "pods"}
	Services = schema.GroupResource{Resource: "services"}
	Claims   = schema.GroupResource{Resource: "persistentvolumeclaims"}
)

// plainCounts are the resources with a name of their own besides count/.
var plainCounts = map[schema.GroupResource]corev1.ResourceName{
	{Resource: "configmaps"}:             corev1.ResourceConfigMaps,
	{Resource: "replicationcontrollers"}: corev1.ResourceReplicationControllers,
	{Resource: "resourcequotas"}:         corev1.ResourceQuotas,
	{Resource: "secrets"}:                corev1.ResourceSecrets,
}

// Of returns what an object of a resource uses. A terminal pod counts as an object
// (count/pods) only. obj may be nil except for pods, services and claims: only the number
// of other objects counts.
func Of(r schema.GroupResource, obj runtime.Object, now time.Time) corev1.ResourceList {
	one := *resource.NewQuantity(1, resource.DecimalSI)
	used := corev1.ResourceList{corev1.ResourceName(countPrefix + r.String()): one}
	switch o := obj.(type) {
	case *corev1.Pod:
		if r == Pods && alive(o, now) {
			podUsage(used, o)
		}
	case *corev1.Service:
		if r == Services {
			used[corev1.ResourceServices] = one
			serviceUsage(used, o)
		}
	case *corev1.PersistentVolumeClaim:
		if r == Claims {
			used[corev1.ResourcePersistentVolumeClaims] = one
			claimUsage(used, o)
		}
	}
	if name, ok := plainCounts[r]; ok {
		used[name] = one
	}
	return used
}

// alive reports whether the pod may still use resources.
func alive(p *corev1.Pod, now time.Time) bool {
	if podfacts.Terminal(p) {
		return false
	}
	// A deleted pod that its kubelet does not confirm stops counting after its grace period.
	if p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil {
		return !now.After(p.DeletionTimestamp.Add(time.Duration(*p.DeletionGracePeriodSeconds) * time.Second))
	}
	return true
}

// podUsage adds the usage of a pod. During a resize it is the maximum of requested and
// allocated resources.
func podUsage(used corev1.ResourceList, p *corev1.Pod) {
	used[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	o := helper.PodResourcesOptions{UseStatusResources: true}
	containerUsage(used, helper.PodRequests(p, o), helper.PodLimits(p, o))
}

// containerUsage adds requests and limits under their names in quotas: a request under its own
// name and with a prefix, a limit with a prefix.
func containerUsage(used, requests, limits corev1.ResourceList) {
	for n, q := range requests {
		switch {
		case n == corev1.ResourceCPU, n == corev1.ResourceMemory, n == corev1.ResourceEphemeralStorage, isHugePages(n):
			used[n] = q
			used[corev1.DefaultResourceRequestsPrefix+n] = q
		case isExtended(n):
			used[corev1.DefaultResourceRequestsPrefix+n] = q
		}
	}
	for n, q := range limits {
		switch n {
		case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
			used["limits."+n] = q
		}
	}
}

func isHugePages(n corev1.ResourceName) bool {
	return strings.HasPrefix(string(n), corev1.ResourceHugePagesPrefix)
}

func isExtended(n corev1.ResourceName) bool {
	return strings.Contains(string(n), "/") && !strings.Contains(string(n), corev1.ResourceDefaultNamespacePrefix)
}

func serviceUsage(used corev1.ResourceList, s *corev1.Service) {
	ports := int64(len(s.Spec.Ports))
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
	case corev1.ServiceTypeLoadBalancer:
		used[corev1.ResourceServicesLoadBalancers] = *resource.NewQuantity(1, resource.DecimalSI)
		if a := s.Spec.AllocateLoadBalancerNodePorts; a != nil && !*a {
			ports = 0
			for i := range s.Spec.Ports {
				if s.Spec.Ports[i].NodePort != 0 {
					ports++
				}
			}
		}
	default:
		ports = 0
	}
	used[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(ports, resource.DecimalSI)
	if _, ok := used[corev1.ResourceServicesLoadBalancers]; !ok {
		used[corev1.ResourceServicesLoadBalancers] = *resource.NewQuantity(0, resource.DecimalSI)
	}
}

func claimUsage(used corev1.ResourceList, c *corev1.PersistentVolumeClaim) {
	class := claimClass(c)
	if class != "" {
		used[corev1.ResourceName(class+classInfix+"persistentvolumeclaims")] = *resource.NewQuantity(1, resource.DecimalSI)
	}
	storage, ok := c.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		return
	}
	// Storage that is allocated already counts until the claim is shrunk.
	if has, ok := c.Status.AllocatedResources[corev1.ResourceStorage]; ok && has.Cmp(storage) > 0 {
		storage = has
	}
	used[corev1.ResourceRequestsStorage] = storage
	if class != "" {
		used[corev1.ResourceName(class+classInfix+"requests.storage")] = storage
	}
}

func claimClass(c *corev1.PersistentVolumeClaim) string {
	if class, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	if c.Spec.StorageClassName != nil {
		return *c.Spec.StorageClassName
	}
	return ""
}

// Counted returns the resource whose objects use what a quota limits by that name.
func Counted(n corev1.ResourceName) schema.GroupResource {
	name := string(n)
	if rest, ok := strings.CutPrefix(name, countPrefix); ok {
		return schema.ParseGroupResource(rest)
	}
	for r, plain := range plainCounts {
		if plain == n {
			return r
		}
	}
	switch {
	case n == corev1.ResourceServices, strings.HasPrefix(name, "services."):
		return Services
	case n == corev1.ResourcePersistentVolumeClaims, n == corev1.ResourceRequestsStorage, strings.Contains(name, classInfix):
		return Claims
	}
	return Pods
}
