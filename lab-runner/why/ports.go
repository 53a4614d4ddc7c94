package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/lab-runner/near"
)

// targetOf returns the port of a pod that a Service's port leads to; 0 if it names a port that the pod does not have.
func targetOf(port corev1.ServicePort, p *corev1.Pod) (number int32, in *corev1.Container) {
	name, number := port.TargetPort.StrVal, port.TargetPort.IntVal
	if port.TargetPort.Type == intstr.Int && number == 0 {
		number = port.Port
	}
	for i := range p.Spec.Containers {
		for _, cp := range p.Spec.Containers[i].Ports {
			if name != "" && cp.Name == name && cp.Protocol == port.Protocol {
				return cp.ContainerPort, &p.Spec.Containers[i]
			}
			if name == "" && cp.ContainerPort == number {
				in = &p.Spec.Containers[i]
			}
		}
	}
	return number, in
}

// ports is the hop from the Service's port to what listens in the containers.
func (c *chain) ports(s *corev1.Service, pods []*corev1.Pod) {
	var checked []string
	for _, port := range s.Spec.Ports {
		for _, p := range pods {
			if c.over() {
				return
			}
			if !isReady(p) {
				continue
			}
			if c.port(s, port, p) {
				if text := fmt.Sprintf("%d to %s", port.Port, port.TargetPort.String()); !slices.Contains(checked, text) {
					checked = append(checked, text)
				}
			}
		}
	}
	if len(checked) > 0 && !c.over() {
		c.fine("ports", "something listens on the target port: %s", strings.Join(checked, ", "))
	}
}

// port checks one port on one pod. It reports whether it is known that something listens.
func (c *chain) port(s *corev1.Service, port corev1.ServicePort, p *corev1.Pod) bool {
	number, in := targetOf(port, p)
	edit := c.kubectl("edit service %s", s.Name)
	if number == 0 {
		var have []string
		for i := range p.Spec.Containers {
			have = append(have, portNames(&container{spec: &p.Spec.Containers[i]})...)
		}
		w := cause{
			hop: "ports", reason: "PortNameMissing", text: fmt.Sprintf("targetPort is the name %q, and no container of pod %s has a port of that name", port.TargetPort.StrVal, p.Name),
			do: "Name a port that the container has, or write its number: " + edit,
		}
		if len(have) > 0 {
			w.details = []string{"port names of the pod: " + strings.Join(have, ", ")}
		}
		if other := near.Name(port.TargetPort.StrVal, have); other != "" {
			w.text += "; it has " + other
			w.do = "Correct targetPort to " + other + ": " + edit
		}
		c.broken(w)
		return false
	}
	sockets, known := c.f.Listening[p.Name]
	answer, asked := c.f.Answers[fmt.Sprintf("pod %s %d", p.Name, number)]
	w := cause{
		hop: "ports", reason: "NobodyListens", text: fmt.Sprintf("the Service sends to targetPort %d, where nothing listens in pod %s", number, p.Name),
		do: "Correct targetPort, or the port that the program listens on: " + edit,
	}
	if in == nil {
		in = &p.Spec.Containers[0]
	}
	if text := c.listens(p, &container{spec: in}, number); text != "" {
		w.text += "; " + text
	}
	switch {
	case known:
		loopback := false
		for _, so := range sockets {
			if so.Port == number && so.Protocol == string(port.Protocol) {
				if !so.Loopback {
					return true
				}
				loopback = true
			}
		}
		if loopback {
			w.reason = "ListensOnLoopback"
			w.text = fmt.Sprintf("the program in pod %s listens on 127.0.0.1:%d, which is reached from within the pod alone", p.Name, number)
			w.do = "Let the program listen on 0.0.0.0: " + c.edit(p)
		}
	case asked && answer.OK:
		return true
	case asked && strings.Contains(answer.Text, "connection refused"):
		w.details = []string{"asked through the API server: " + short(answer.Text, 200)}
	default:
		return false
	}
	if !c.opens(p) && c.justStarted(p) {
		w.text = fmt.Sprintf("nothing listens on port %d in pod %s yet; its containers have just been started", number, p.Name)
		w.do = "Wait half a minute and ask again."
		c.waiting(w)
		return false
	}
	c.broken(w)
	return false
}

// opens reports whether a pod is known to listen on any port that is reached from outside, or on 127.0.0.1.
func (c *chain) opens(p *corev1.Pod) bool {
	return len(c.f.Listening[p.Name]) > 0 || strings.HasPrefix(c.listens(p, nil, 0), "port ")
}

// startTime is how long a program is given to open its ports before a closed one is called a fault.
const startTime = 30 * time.Second

// justStarted reports whether a container of a pod was started for the first time within startTime.
func (c *chain) justStarted(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.RestartCount == 0 && s.State.Running != nil && c.f.age(s.State.Running.StartedAt) < startTime
	})
}
