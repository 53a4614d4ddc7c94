package resize

import (
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Message returns the message of an event about a resize, with the pod's size.
func Message(what string, pod *v1.Pod, generation int64, fault string) string {
	type container struct {
		Name      string                  `json:"name"`
		Resources v1.ResourceRequirements `json:"resources"`
	}
	of := func(list []v1.Container) (out []container) {
		for i := range list {
			out = append(out, container{list[i].Name, list[i].Resources})
		}
		return out
	}
	text, err := json.Marshal(struct {
		Init       []container `json:"initContainers,omitempty"`
		Containers []container `json:"containers,omitempty"`
		Generation int64       `json:"generation"`
		Error      string      `json:"error,omitempty"`
	}{of(pod.Spec.InitContainers), of(pod.Spec.Containers), generation, fault})
	if err != nil {
		return "Pod resize " + what
	}
	return "Pod resize " + what + ": " + string(text)
}

// units returns the units in which messages count a resource.
func units(name v1.ResourceName) func(resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return func(q resource.Quantity) int64 { return q.MilliValue() }
	}
	return func(q resource.Quantity) int64 { return q.Value() }
}
