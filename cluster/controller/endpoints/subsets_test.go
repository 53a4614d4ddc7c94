package endpoints

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(i int, edit ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i), UID: types.UID(fmt.Sprint("u", i))},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Ports: []v1.ContainerPort{{Name: "www", ContainerPort: 8080}}}}},
		Status: v1.PodStatus{
			PodIP: fmt.Sprintf("10.1.%d.%d", i/200, i%200+1), Phase: v1.PodRunning,
			Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}},
		},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func TestSubsets(t *testing.T) {
	notReady := func(p *v1.Pod) { p.Status.Conditions = nil }
	ending := func(p *v1.Pod) { p.DeletionTimestamp = &metav1.Time{} }
	svc := func(publish bool, ports ...v1.ServicePort) *v1.Service {
		return &v1.Service{Spec: v1.ServiceSpec{Selector: map[string]string{"a": "b"}, PublishNotReadyAddresses: publish, Ports: ports}}
	}
	www := v1.ServicePort{Port: 80, TargetPort: intstr.FromString("www")}
	tests := []struct {
		name string
		svc  *v1.Service
		pods []*v1.Pod
		want string
	}{
		{"ready and not ready", svc(false, www), []*v1.Pod{pod(2), pod(1), pod(3, notReady)}, "[10.1.0.2 10.1.0.3] [10.1.0.4] 8080;"},
		{"ending pods go", svc(false, www), []*v1.Pod{pod(1), pod(2, ending)}, "[10.1.0.2] [] 8080;"},
		{"not ready ones are published", svc(true, www), []*v1.Pod{pod(1, notReady)}, "[10.1.0.2] [] 8080;"},
		{"no address yet", svc(false, www), []*v1.Pod{pod(1, func(p *v1.Pod) { p.Status.PodIP = "" })}, ""},
		{"ended", svc(false, www), []*v1.Pod{pod(1, func(p *v1.Pod) { p.Status.Phase = v1.PodFailed })}, ""},
		{"the port has no such name", svc(false, v1.ServicePort{TargetPort: intstr.FromString("x")}), []*v1.Pod{pod(1)}, ""},
		{"headless without ports", svc(false), []*v1.Pod{pod(1)}, "[10.1.0.2] [];"},
		{
			"two groups of ports", svc(false, www),
			[]*v1.Pod{pod(1), pod(2, func(p *v1.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort = 9 })},
			"[10.1.0.2] [] 8080;[10.1.0.3] [] 9;",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			subsets, cut := Subsets(tt.svc, tt.pods)
			var got string
			for _, s := range subsets {
				ips := func(in []v1.EndpointAddress) []string {
					out := []string{}
					for _, a := range in {
						out = append(out, a.IP)
					}
					return out
				}
				got += fmt.Sprint(ips(s.Addresses), " ", ips(s.NotReadyAddresses))
				for _, p := range s.Ports {
					got += fmt.Sprint(" ", p.Port)
				}
				got += ";"
			}
			if got != tt.want || cut {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	t.Run("too many", func(t *testing.T) {
		var many []*v1.Pod
		for i := range 1001 {
			many = append(many, pod(i))
		}
		subsets, cut := Subsets(svc(false, www), many)
		if !cut || len(subsets[0].Addresses) != maxAddresses {
			t.Errorf("cut %v, %d addresses", cut, len(subsets[0].Addresses))
		}
	})
}
