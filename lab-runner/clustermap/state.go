package clustermap

import (
	"fmt"
	"strconv"
	"strings"
)

// serviceName is the label of an EndpointSlice that names its service.
const serviceName = "kubernetes.io/service-name"

// endpointsHeld bounds the pods of one EndpointSlice, which has at most 1000 endpoints.
const endpointsHeld = 100

func (o *Object) node() node {
	n := node{name: o.Metadata.Name, mark: Failed, state: "NotReady"}
	if holds(o.Status.Conditions, "Ready") {
		n.mark, n.state = Well, "Ready"
	}
	if o.Spec.Unschedulable { // kubectl's word for a cordoned node
		n.state += ",SchedulingDisabled"
		n.mark = max(n.mark, UnderWay)
	}
	return n
}

func holds(all []condition, kind string) bool {
	for _, c := range all {
		if c.Type == kind {
			return c.Status == "True"
		}
	}
	return false
}

func (o *Object) pod() pod {
	p := pod{name: o.Metadata.Name, node: o.Spec.NodeName, created: o.Metadata.CreationTimestamp}
	p.mark, p.state = o.podState()
	return p
}

// podState returns the state of a pod as the column STATUS of kubectl does, and what it amounts to.
func (o *Object) podState() (Mark, string) {
	if o.Metadata.DeletionTimestamp != nil {
		return Over, "Terminating"
	}
	if o.Status.Reason != "" {
		return Failed, o.Status.Reason
	}
	for i, c := range o.Status.InitContainers {
		if c.State.Terminated != nil && c.State.Terminated.ExitCode == 0 || c.Ready {
			continue
		}
		if why := c.why(); why != "" && why != "PodInitializing" {
			return troubled(why), "Init:" + why
		}
		return UnderWay, fmt.Sprintf("Init:%d/%d", i, len(o.Status.InitContainers))
	}
	for _, c := range o.Status.ContainerStatuses {
		if why := c.why(); why != "" && why != "Completed" {
			return troubled(why), why
		}
	}
	switch o.Status.Phase {
	case "Running":
		if !holds(o.Status.Conditions, "Ready") {
			return UnderWay, "Running, not ready"
		}
		return Well, "Running"
	case "Succeeded":
		return Over, "Completed"
	case "Failed":
		return Failed, "Error"
	case "":
		return UnderWay, "Pending"
	}
	return UnderWay, o.Status.Phase
}

// why returns why a container does not run; empty if it runs.
func (c container) why() string {
	switch w, t := c.State.Waiting, c.State.Terminated; {
	case w != nil:
		return w.Reason
	case t == nil:
		return ""
	case t.Reason != "":
		return t.Reason
	case t.ExitCode == 0:
		return "Completed"
	default:
		return "ExitCode:" + strconv.Itoa(t.ExitCode)
	}
}

func troubled(why string) Mark {
	if why == "ContainerCreating" || why == "PodInitializing" {
		return UnderWay
	}
	return Failed
}

func (o *Object) service() service {
	s := service{name: o.Metadata.Name}
	var ports []string
	for i, p := range o.Spec.Ports {
		if i == 3 {
			ports = append(ports, "...")
			break
		}
		port := strconv.Itoa(p.Port)
		if p.NodePort > 0 {
			port += ":" + strconv.Itoa(p.NodePort)
		}
		ports = append(ports, port)
	}
	s.ports = strings.Join(ports, ",")
	return s
}

func (o *Object) slice() slice {
	s := slice{service: o.Metadata.Labels[serviceName]}
	for i, e := range o.Endpoints {
		if i == endpointsHeld {
			break
		}
		name := e.TargetRef.Name
		if name == "" && len(e.Addresses) > 0 {
			name = e.Addresses[0]
		}
		if e.Conditions.Ready == nil || *e.Conditions.Ready { // absent is ready, as the API says
			s.ready = append(s.ready, name)
		} else {
			s.notReady = append(s.notReady, name)
		}
	}
	return s
}
