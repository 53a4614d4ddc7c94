// Package containerspec translates parts of a pod into what its containers are created
// with: environment and arguments, security context, resources of the control group, host
// names and resolver files. It creates nothing: it reads referenced objects through the
// Getter of EnvContext, and a seccomp profile and the state of AppArmor from the machine.
package containerspec

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/podspec"
)

// EnvContext is the input of Environment.
type EnvContext struct {
	Pod           *v1.Pod
	Container     *v1.Container
	Services      []*v1.Service // those that get variables
	HostIP, PodIP string
	Capacity      v1.ResourceList
	Objects       objects.Getter
	// File reads a file of a volume of the pod; links in its path stay within the volume.
	File func(volume, path string) ([]byte, error)
}

// Environment is the variables of the container in the order of upstream: services first,
// then envFrom, then env. The later replaces the earlier, and $(NAME) refers to the earlier.
// It also returns a lookup for the expansion of command and arguments.
func Environment(ctx context.Context, e *EnvContext) ([]string, func(string) (string, bool), error) {
	values := map[string]string{}
	var order []string
	size := 0
	set := func(name, value string) error {
		if _, ok := values[name]; !ok {
			order = append(order, name)
		}
		values[name] = value
		if size += len(name) + len(value) + 2; size > maxArguments {
			return errArguments("the environment")
		}
		return nil
	}
	lookup := func(name string) (string, bool) { v, ok := values[name]; return v, ok }

	for _, v := range serviceVariables(e.Services) {
		if err := set(v.Name, v.Value); err != nil {
			return nil, nil, err
		}
	}
	for _, from := range e.Container.EnvFrom {
		pairs, err := envFrom(ctx, e, from)
		if err != nil {
			return nil, nil, err
		}
		for _, k := range slices.Sorted(maps.Keys(pairs)) {
			if err := set(from.Prefix+k, pairs[k]); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, v := range e.Container.Env {
		value, ok, err := envValue(ctx, e, v, lookup)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			err = set(v.Name, value)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	out := make([]string, 0, len(order))
	for _, name := range order {
		out = append(out, name+"="+values[name])
	}
	return out, lookup, nil
}

func envFrom(ctx context.Context, e *EnvContext, from v1.EnvFromSource) (map[string]string, error) {
	out := map[string]string{}
	switch {
	case from.ConfigMapRef != nil:
		m, err := e.Objects.ConfigMap(ctx, e.Pod.Namespace, from.ConfigMapRef.Name)
		if apierrors.IsNotFound(err) && ptr.Deref(from.ConfigMapRef.Optional, false) {
			return nil, nil
		}
		if err != nil {
			return nil, objects.Missing("configmap", from.ConfigMapRef.Name, err)
		}
		for k, v := range m.Data {
			out[k] = v
		}
	case from.SecretRef != nil:
		s, err := e.Objects.Secret(ctx, e.Pod.Namespace, from.SecretRef.Name)
		if apierrors.IsNotFound(err) && ptr.Deref(from.SecretRef.Optional, false) {
			return nil, nil
		}
		if err != nil {
			return nil, objects.Missing("secret", from.SecretRef.Name, err)
		}
		for k, v := range s.Data {
			out[k] = string(v)
		}
	}
	return out, nil
}

// envValue is the value of one variable; false leaves it out (an optional reference to what
// does not exist).
func envValue(ctx context.Context, e *EnvContext, v v1.EnvVar, lookup func(string) (string, bool)) (string, bool, error) {
	from := v.ValueFrom
	switch {
	case from == nil:
		s, err := expand(v.Value, lookup)
		return s, true, err
	case from.FieldRef != nil:
		s, err := podspec.FieldValue(e.Pod, from.FieldRef.FieldPath, e.HostIP, e.PodIP)
		return s, true, err
	case from.ResourceFieldRef != nil:
		s, err := podspec.ResourceValue(e.Pod, from.ResourceFieldRef, e.Container, e.Capacity)
		return s, true, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, err := e.Objects.ConfigMap(ctx, e.Pod.Namespace, ref.Name)
		if err != nil {
			return optional(ptr.Deref(ref.Optional, false) && apierrors.IsNotFound(err), objects.Missing("configmap", ref.Name, err))
		}
		if s, ok := m.Data[ref.Key]; ok {
			return s, true, nil
		}
		return optional(ptr.Deref(ref.Optional, false), fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, e.Pod.Namespace, ref.Name))
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		s, err := e.Objects.Secret(ctx, e.Pod.Namespace, ref.Name)
		if err != nil {
			return optional(ptr.Deref(ref.Optional, false) && apierrors.IsNotFound(err), objects.Missing("secret", ref.Name, err))
		}
		if b, ok := s.Data[ref.Key]; ok {
			return string(b), true, nil
		}
		return optional(ptr.Deref(ref.Optional, false), fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, e.Pod.Namespace, ref.Name))
	case from.FileKeyRef != nil:
		return fromFile(e, from.FileKeyRef)
	}
	return "", false, fmt.Errorf("variable %s: its source is not supported", v.Name)
}

// fromFile is the value of a variable in a file that an init container has written. A file that
// is not there is an error even if the variable is optional, and an empty value is none, as
// upstream.
func fromFile(e *EnvContext, ref *v1.FileKeySelector) (string, bool, error) {
	text, err := e.File(ref.VolumeName, ref.Path)
	if err != nil {
		return "", false, err
	}
	value, err := variableIn(text, ref.Key)
	if err != nil {
		return "", false, fmt.Errorf("couldn't parse env file: %w", err)
	}
	if value == "" {
		return optional(ptr.Deref(ref.Optional, false), fmt.Errorf("environment variable key %q not found in file %q", ref.Key, ref.Path))
	}
	return value, true, nil
}

func optional(ok bool, err error) (string, bool, error) {
	if ok {
		return "", false, nil
	}
	return "", false, err
}

// VisibleServices are those whose variables a pod of the namespace gets: the
// namespace's own, and the API server's unless hidden by one of that name.
func VisibleServices(all []*v1.Service, namespace string, links bool) []*v1.Service {
	byName := map[string]*v1.Service{}
	for _, s := range all {
		if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == v1.ClusterIPNone {
			continue
		}
		own := s.Namespace == namespace && links
		master := s.Namespace == v1.NamespaceDefault && s.Name == "kubernetes"
		if own || master && byName[s.Name] == nil {
			byName[s.Name] = s
		}
	}
	out := make([]*v1.Service, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[name])
	}
	return out
}

// serviceVariables are those of Docker links: seven for a service with one unnamed port.
func serviceVariables(services []*v1.Service) []v1.EnvVar {
	var out []v1.EnvVar
	for _, s := range services {
		if len(s.Spec.Ports) == 0 {
			continue
		}
		add := func(suffix, value string) {
			out = append(out, v1.EnvVar{Name: variableName(s.Name) + suffix, Value: value})
		}
		ip, first := s.Spec.ClusterIP, s.Spec.Ports[0]
		add("_SERVICE_HOST", ip)
		add("_SERVICE_PORT", strconv.Itoa(int(first.Port)))
		for _, p := range s.Spec.Ports {
			if p.Name != "" {
				add("_SERVICE_PORT_"+variableName(p.Name), strconv.Itoa(int(p.Port)))
			}
		}
		for i, p := range s.Spec.Ports {
			protocol := string(p.Protocol)
			if protocol == "" {
				protocol = string(v1.ProtocolTCP)
			}
			port := strconv.Itoa(int(p.Port))
			url := strings.ToLower(protocol) + "://" + net.JoinHostPort(ip, port)
			if i == 0 {
				add("_PORT", url)
			}
			prefix := "_PORT_" + port + "_" + strings.ToUpper(protocol)
			add(prefix, url)
			add(prefix+"_PROTO", strings.ToLower(protocol))
			add(prefix+"_PORT", port)
			add(prefix+"_ADDR", ip)
		}
	}
	return out
}

func variableName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }
