package store

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// registry is the root of all keys.
const registry = "/registry/"

// directories are the kinds whose keys are not named like their resource, as Kubernetes
// has them (so that its etcd can be read, and etcdctl finds the usual keys).
var directories = map[schema.GroupResource]string{
	{Resource: "services"}:                              "services/specs",
	{Resource: "endpoints"}:                             "services/endpoints",
	{Resource: "nodes"}:                                 "minions",
	{Resource: "replicationcontrollers"}:                "controllers",
	{Group: "networking.k8s.io", Resource: "ingresses"}: "ingress",
}

// keyPrefix is where the objects of a kind are: "/registry/pods/", and below the group
// for a kind that is not built in: "/registry/example.com/widgets/".
func keyPrefix(k *api.Kind) string {
	if k.Custom {
		return registry + k.Group + "/" + k.Plural + "/"
	}
	directory, ok := directories[schema.GroupResource{Group: k.Group, Resource: k.Plural}]
	if !ok {
		directory = k.Plural
	}
	return registry + directory + "/"
}

// collectionOf finds whose key it is, nil for a key of no kind that is served.
func (s *Store) collectionOf(key string) *Collection {
	if !strings.HasPrefix(key, registry) {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	end := len(registry)
	for range 2 { // a directory, or a directory within a directory
		i := strings.IndexByte(key[end:], '/')
		if i < 0 {
			return nil
		}
		end += i + 1
		if c := s.byPrefix[key[:end]]; c != nil {
			return c
		}
	}
	return nil
}

// key names one object, ok is false for names that no object can have.
func (c *Collection) key(namespace, name string) (key string, ok bool) {
	if name == "" || strings.Contains(name, "/") {
		return "", false
	}
	if !c.kind.Namespaced {
		return c.prefix + name, true
	}
	if namespace == "" || strings.Contains(namespace, "/") {
		return "", false
	}
	return c.prefix + namespace + "/" + name, true
}

// within is the prefix of all keys in a namespace, "" being all namespaces.
func (c *Collection) within(namespace string) string {
	if namespace == "" || !c.kind.Namespaced {
		return c.prefix
	}
	return c.prefix + namespace + "/"
}
