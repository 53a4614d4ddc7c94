package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// servePods answers with the pods of the node.
func (s *Server) servePods(w http.ResponseWriter, _ *http.Request) {
	list := v1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []v1.Pod{}}
	for _, pod := range s.Pods.Pods() {
		list.Items = append(list.Items, *pod)
	}
	writeJSON(w, list)
}

// serveRunningPods answers with the pods that have a running container, as the runtime
// has them.
func (s *Server) serveRunningPods(w http.ResponseWriter, r *http.Request) {
	all, err := s.Containers.Glance(r.Context())
	if err != nil {
		failRequest(w, err)
		return
	}
	list := v1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []v1.Pod{}}
	slices.SortFunc(all, func(a, b cri.Container) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range all {
		if c.State != cri.Running || c.Name == cri.SandboxName {
			continue
		}
		i := slices.IndexFunc(list.Items, func(p v1.Pod) bool { return string(p.UID) == c.Pod.UID })
		if i < 0 {
			i = len(list.Items)
			list.Items = append(list.Items, v1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: c.Pod.Namespace, Name: c.Pod.Name, UID: types.UID(c.Pod.UID),
			}})
		}
		spec := v1.Container{Name: c.Name}
		if pod := s.Pods.Pod(c.Pod.Namespace, c.Pod.Name, c.Pod.UID); pod != nil {
			if own := podspec.Container(pod, c.Name); own != nil {
				spec.Image = own.Image
			}
		}
		list.Items[i].Spec.Containers = append(list.Items[i].Spec.Containers, spec)
	}
	slices.SortFunc(list.Items, func(a, b v1.Pod) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	writeJSON(w, list)
}

// containers returns the request's pod and its containers of the request's name, newest
// first.
func (s *Server) containers(r *http.Request) (*v1.Pod, []cri.Container, error) {
	pod, all, err := s.podContainers(r)
	name := r.PathValue("container")
	all = slices.DeleteFunc(all, func(c cri.Container) bool { return c.Name != name || c.State == cri.Created })
	slices.SortFunc(all, func(a, b cri.Container) int { return b.Attempt - a.Attempt })
	return pod, all, err
}

// podContainers returns the request's pod and all of its containers.
func (s *Server) podContainers(r *http.Request) (*v1.Pod, []cri.Container, error) {
	pod := s.Pods.Pod(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid"))
	if pod == nil {
		return nil, nil, notFound("pod %q not found", r.PathValue("namespace")+"/"+r.PathValue("pod"))
	}
	all, err := s.Containers.List(r.Context(), string(pod.UID))
	return pod, all, err
}

// running returns the request's container, which must be running.
func (s *Server) running(r *http.Request) (cri.Container, error) {
	pod, list, err := s.containers(r)
	if err != nil {
		return cri.Container{}, err
	}
	name := r.PathValue("container")
	switch {
	case podspec.Container(pod, name) == nil:
		return cri.Container{}, notFound("container %s is not valid for pod %s", name, pod.Name)
	case len(list) == 0 || list[0].State != cri.Running:
		return cri.Container{}, &httpError{http.StatusInternalServerError, fmt.Errorf("container not found (%q)", name)}
	}
	return list[0], nil
}
