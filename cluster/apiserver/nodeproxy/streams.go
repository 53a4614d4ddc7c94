package nodeproxy

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/apistatus"
)

// Exec answers pods/NAME/exec and pods/NAME/attach. The kubelet has other names for the
// streams than the API.
func (p *Proxy) Exec(r *Request) error {
	pod, err := p.connectable(r)
	if err != nil {
		return err
	}
	from := r.URL.Query()
	container, err := chooseContainer(pod, from.Get("container"))
	if err != nil {
		return err
	}
	if err := r.AdmitConnect(pod); err != nil {
		return err
	}
	query := url.Values{}
	streams := 0
	for api, kubelet := range map[string]string{"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"} {
		if on, _ := strconv.ParseBool(from.Get(api)); on {
			query.Set(kubelet, "1")
			if api != "tty" {
				streams++
			}
		}
	}
	if streams == 0 {
		return apistatus.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	if r.Subresource == "exec" {
		query["command"] = from["command"]
		if len(query["command"]) == 0 {
			return apistatus.BadRequest("you must specify at least one command for the container")
		}
	}
	return p.forwardToKubelet(r, pod, "/"+r.Subresource+"/"+pod.Namespace+"/"+pod.Name+"/"+container, query, true)
}

// PortForward answers pods/NAME/portforward.
func (p *Proxy) PortForward(r *Request) error {
	pod, err := p.connectable(r)
	if err != nil {
		return err
	}
	if err := r.AdmitConnect(pod); err != nil {
		return err
	}
	query := url.Values{}
	if ports := r.URL.Query()["ports"]; len(ports) > 0 { // of WebSockets; SPDY has them in the headers of streams
		query.Set("port", strings.Join(ports, ","))
	}
	return p.forwardToKubelet(r, pod, "/portForward/"+pod.Namespace+"/"+pod.Name, query, true)
}

// connectable returns the pod of the path. It refuses users who may not create the
// connection: the GET with which a WebSocket begins is authorized as a read, but executes
// something. The message is upstream's (AuthorizePodWebsocketUpgradeCreatePermission).
func (p *Proxy) connectable(r *Request) (*corev1.Pod, error) {
	if r.Verb != "create" {
		allowed, reason, err := p.Authorizer.Authorize(r.Context(), r.Attributes(r.User, "create"))
		if err != nil {
			return nil, fmt.Errorf("authorizing: %w", err)
		}
		if !allowed {
			return nil, apierrors.NewForbidden(schema.GroupResource{Group: r.Group, Resource: r.Plural}, r.Name, errors.New(reason))
		}
	}
	return p.pod(r, r.Name)
}

// chooseContainer returns the container of that name; without a name the pod must have only
// one.
func chooseContainer(pod *corev1.Pod, name string) (string, error) {
	var main, all []string
	for _, c := range pod.Spec.Containers {
		main = append(main, c.Name)
	}
	all = append(all, main...)
	var init []string
	for _, c := range pod.Spec.InitContainers {
		init = append(init, c.Name)
	}
	all = append(all, init...)
	for _, c := range pod.Spec.EphemeralContainers {
		all = append(all, c.Name)
	}
	switch {
	case name == "" && len(main) == 1:
		return main[0], nil
	case name == "":
		message := fmt.Sprintf("a container name must be specified for pod %s, choose one of: [%s]", pod.Name, strings.Join(main, " "))
		if len(init) > 0 {
			message += fmt.Sprintf(" or one of the init containers: [%s]", strings.Join(init, " "))
		}
		return "", apistatus.BadRequest("%s", message)
	case !slices.Contains(all, name):
		return "", apistatus.BadRequest("container %s is not valid for pod %s", name, pod.Name)
	}
	return name, nil
}
