package steps

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Finder finds objects of any group by their names and labels; a client may have it. In an empty namespace it looks in
// all. The API is a path such as /api/v1.
type Finder interface {
	Find(ctx context.Context, api, resource, namespace string, opts metav1.ListOptions) ([]metav1.ObjectMeta, error)
}

// kind is one that labs' commands name.
type kind struct {
	api, resource, words string
	names                []string // kubectl's: plural, singular, short
	cluster              bool     // it has no namespace
}

var kinds = []kind{
	{"/api/v1", "pods", "pod", []string{"pods", "pod", "po"}, false},
	{"/api/v1", "services", "service", []string{"services", "service", "svc"}, false},
	{"/api/v1", "replicationcontrollers", "replication controller", []string{"replicationcontrollers", "replicationcontroller", "rc"}, false},
	{"/api/v1", "persistentvolumeclaims", "claim", []string{"persistentvolumeclaims", "persistentvolumeclaim", "pvc"}, false},
	{"/api/v1", "configmaps", "config map", []string{"configmaps", "configmap", "cm"}, false},
	{"/api/v1", "secrets", "secret", []string{"secrets", "secret"}, false},
	{"/apis/apps/v1", "deployments", "deployment", []string{"deployments", "deployment", "deploy"}, false},
	{"/apis/apps/v1", "replicasets", "replica set", []string{"replicasets", "replicaset", "rs"}, false},
	{"/apis/apps/v1", "daemonsets", "daemon set", []string{"daemonsets", "daemonset", "ds"}, false},
	{"/apis/apps/v1", "statefulsets", "stateful set", []string{"statefulsets", "statefulset", "sts"}, false},
	{"/apis/batch/v1", "jobs", "job", []string{"jobs", "job"}, false},
	{"/apis/batch/v1", "cronjobs", "cron job", []string{"cronjobs", "cronjob", "cj"}, false},
	{"/apis/networking.k8s.io/v1", "ingresses", "ingress", []string{"ingresses", "ingress", "ing"}, false},
	{"/apis/autoscaling/v2", "horizontalpodautoscalers", "autoscaler", []string{"horizontalpodautoscalers", "horizontalpodautoscaler", "hpa"}, false},
	{"/api/v1", "resourcequotas", "quota", []string{"resourcequotas", "resourcequota", "quota"}, false},
	{"/api/v1", "serviceaccounts", "service account", []string{"serviceaccounts", "serviceaccount", "sa"}, false},
	{"/api/v1", "nodes", "node", []string{"nodes", "node", "no"}, true},
	{"/api/v1", "namespaces", "namespace", []string{"namespaces", "namespace", "ns"}, true},
	{"/api/v1", "persistentvolumes", "volume", []string{"persistentvolumes", "persistentvolume", "pv"}, true},
}

// asked finds the object that a command asks for in the lab's namespace.
var asked = regexp.MustCompile(`^kubectl (?:get|describe|logs) (?:([a-z]+)[ /])?([a-z0-9][a-z0-9.-]*)(?:\s|$)`)

// objectOf returns the object that a command line is about, as condition.object.
func objectOf(line string) string {
	m := asked.FindStringSubmatch(line)
	if m == nil || strings.Contains(line, " -n ") || strings.Contains(line, "--namespace") {
		return ""
	}
	kind := m[1]
	if kind == "" {
		if !strings.HasPrefix(line, "kubectl logs ") {
			return ""
		}
		kind = "pods"
	}
	return kind + " " + m[2]
}

// elsewhere returns in which other namespace an object is that the lab's namespace has not, or "". Namespaces of other
// labs and of the cluster itself have objects of the same names.
func (w *World) elsewhere(ctx context.Context, object string) string {
	word, what, ok := strings.Cut(object, " ")
	finder, can := w.Client.(Finder)
	if !ok || !can {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Slow.Wait(5*time.Second))
	defer cancel()
	for _, k := range kinds {
		if k.cluster || !slices.Contains(k.names, word) {
			continue
		}
		opts, named := metav1.ListOptions{FieldSelector: "metadata.name=" + what}, k.words+" "+what
		if strings.ContainsAny(what, "=!,() ") {
			opts, named = metav1.ListOptions{LabelSelector: what}, "a "+k.words+" with label "+what
		}
		if here, err := finder.Find(ctx, k.api, k.resource, w.Namespace, opts); err != nil || len(here) > 0 {
			return ""
		}
		found, err := finder.Find(ctx, k.api, k.resource, "", opts)
		if err != nil { // perhaps only for lack of rights
			found, _ = finder.Find(ctx, k.api, k.resource, metav1.NamespaceDefault, opts)
		}
		for _, o := range found {
			if ns := o.Namespace; ns != w.Namespace && !strings.HasPrefix(ns, "lab-") && !strings.HasPrefix(ns, "kube-") {
				return fmt.Sprintf("%s is in namespace %s; this lab lives in %s", named, ns, w.Namespace)
			}
		}
	}
	return ""
}
