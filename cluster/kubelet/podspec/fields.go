package podspec

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// FieldValue is what the downward API gives for a field of the pod. The pod object may not
// have its addresses yet.
func FieldValue(pod *v1.Pod, path string, hostIP, podIP string) (string, error) {
	if name, key, ok := subscript(path); ok {
		switch name {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
		return "", fmt.Errorf("field path %q is not supported", path)
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return FormatMap(pod.Labels), nil
	case "metadata.annotations":
		return FormatMap(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return hostIP, nil
	case "status.podIP", "status.podIPs":
		return podIP, nil
	}
	return "", fmt.Errorf("field path %q is not supported", path)
}

// subscript splits metadata.labels['key'].
func subscript(path string) (name, key string, ok bool) {
	name, rest, ok := strings.Cut(path, "['")
	if !ok || !strings.HasSuffix(rest, "']") {
		return "", "", false
	}
	return name, strings.TrimSuffix(rest, "']"), true
}

// FormatMap is one line key="value" for each entry, sorted.
func FormatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for k, v := range m {
		lines = append(lines, k+"="+strconv.Quote(v))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// ResourceValue is a container's request or limit in units of the divisor,
// rounded up. A limit that is not set is the node's capacity.
func ResourceValue(pod *v1.Pod, sel *v1.ResourceFieldSelector, own *v1.Container, capacity v1.ResourceList) (string, error) {
	c := own
	if sel.ContainerName != "" {
		if c = Container(pod, sel.ContainerName); c == nil {
			return "", fmt.Errorf("container %q not found in the pod", sel.ContainerName)
		}
	}
	if c == nil {
		return "", fmt.Errorf("resource %q needs a container's name", sel.Resource)
	}
	kind, name, _ := strings.Cut(sel.Resource, ".")
	var q resource.Quantity
	var set bool
	switch kind {
	case "limits":
		if q, set = c.Resources.Limits[v1.ResourceName(name)]; !set {
			q = capacity[v1.ResourceName(name)]
		}
	case "requests":
		q = c.Resources.Requests[v1.ResourceName(name)]
	default:
		return "", fmt.Errorf("resource %q is not supported", sel.Resource)
	}
	divisor := sel.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == "cpu" {
		return strconv.FormatInt(int64(math.Ceil(float64(q.MilliValue())/float64(max(divisor.MilliValue(), 1)))), 10), nil
	}
	return strconv.FormatInt(int64(math.Ceil(float64(q.Value())/float64(max(divisor.Value(), 1)))), 10), nil
}

// Container returns the container of that name, init and ephemeral ones included, nil if
// there is none.
func Container(pod *v1.Pod, name string) *v1.Container {
	for _, list := range [][]v1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		if c := Named(list, name); c != nil {
			return c
		}
	}
	if e := EphemeralContainer(pod, name); e != nil {
		return AsContainer(e)
	}
	return nil
}

// Named returns the container of that name in a list, nil if there is none.
func Named(list []v1.Container, name string) *v1.Container {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}
