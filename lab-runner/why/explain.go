package why

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/near"
)

// Target is what is asked about. An empty kind is the namespace as a whole.
type Target struct{ Kind, Name string }

// kind is one that can be explained.
type kind struct {
	name     string   // as in the API: Pod
	resource string   // plural
	short    []string // what people type
	cluster  bool     // has no namespace
	names    func(f *Facts) []string
	follow   func(c *chain, name string) bool // false if there is no such object
}

// kinds lists all kinds, those first that a namespace is asked about.
func kinds() []kind {
	return []kind{
		{"Deployment", "deployments", []string{"deploy"}, false, func(f *Facts) []string { return names(f.Deployments) }, by(func(f *Facts) []deployment { return f.Deployments }, (*chain).deployment)},
		{"StatefulSet", "statefulsets", []string{"sts"}, false, func(f *Facts) []string { return names(f.StatefulSets) }, by(func(f *Facts) []statefulSet { return f.StatefulSets }, (*chain).statefulSet)},
		{"DaemonSet", "daemonsets", []string{"ds"}, false, func(f *Facts) []string { return names(f.DaemonSets) }, by(func(f *Facts) []daemonSet { return f.DaemonSets }, (*chain).daemonSet)},
		{"ReplicaSet", "replicasets", []string{"rs"}, false, func(f *Facts) []string { return names(f.ReplicaSets) }, by(func(f *Facts) []replicaSet { return f.ReplicaSets }, (*chain).replicaSet)},
		{"ReplicationController", "replicationcontrollers", []string{"rc"}, false, func(f *Facts) []string { return names(f.Controllers) }, by(func(f *Facts) []corev1.ReplicationController { return f.Controllers }, (*chain).replicationController)},
		{"CronJob", "cronjobs", []string{"cj"}, false, func(f *Facts) []string { return names(f.CronJobs) }, by(func(f *Facts) []cronJob { return f.CronJobs }, (*chain).cronJob)},
		{"Job", "jobs", nil, false, func(f *Facts) []string { return names(f.Jobs) }, by(func(f *Facts) []job { return f.Jobs }, (*chain).job)},
		{"Pod", "pods", []string{"po"}, false, func(f *Facts) []string { return names(f.Pods) }, by(func(f *Facts) []corev1.Pod { return f.Pods }, (*chain).pod)},
		{"PersistentVolumeClaim", "persistentvolumeclaims", []string{"pvc", "claim"}, false, func(f *Facts) []string { return names(f.Claims) }, by(func(f *Facts) []corev1.PersistentVolumeClaim { return f.Claims }, (*chain).claim)},
		{"Service", "services", []string{"svc"}, false, func(f *Facts) []string { return names(f.Services) }, by(func(f *Facts) []corev1.Service { return f.Services }, (*chain).service)},
		{"Ingress", "ingresses", []string{"ing"}, false, func(f *Facts) []string { return names(f.Ingresses) }, by(func(f *Facts) []ingress { return f.Ingresses }, (*chain).ingress)},
		{"HorizontalPodAutoscaler", "horizontalpodautoscalers", []string{"hpa"}, false, func(f *Facts) []string { return names(f.Autoscalers) }, by(func(f *Facts) []autoscaler { return f.Autoscalers }, (*chain).autoscaler)},
		{"PersistentVolume", "persistentvolumes", []string{"pv"}, true, func(f *Facts) []string { return names(f.Volumes) }, by(func(f *Facts) []corev1.PersistentVolume { return f.Volumes }, (*chain).volume)},
		{"Node", "nodes", []string{"no"}, true, func(f *Facts) []string { return names(f.Nodes) }, by(func(f *Facts) []corev1.Node { return f.Nodes }, (*chain).nodeHops)},
		{"Namespace", "namespaces", []string{"ns"}, true, func(f *Facts) []string { return names(f.Namespaces) }, by(func(f *Facts) []corev1.Namespace { return f.Namespaces }, (*chain).namespaceHops)},
	}
}

// by follows the object of a name in a list of the facts.
func by[T any, P named[T]](list func(*Facts) []T, follow func(*chain, P)) func(*chain, string) bool {
	return func(c *chain, name string) bool {
		obj := find[T, P](list(c.f), name)
		if obj == nil {
			return false
		}
		follow(c, obj)
		return true
	}
}

// ParseTarget reads KIND/NAME; args may also be the two words. The kind is as kubectl has it: singular, plural or short, or
// dns for a name.
func ParseTarget(args []string) (Target, error) {
	text := strings.Join(args, "/")
	word, name, ok := strings.Cut(text, "/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return Target{}, fmt.Errorf("%q: want KIND/NAME, such as pod/web, service/web or dns/web", text)
	}
	if strings.EqualFold(word, "dns") {
		return Target{"DNS", name}, nil
	}
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	var all []string
	for _, k := range kinds() {
		all = append(all, strings.ToLower(k.name))
		if word == strings.ToLower(k.name) || word == k.resource || slices.Contains(k.short, word) {
			return Target{k.name, name}, nil
		}
	}
	if other := near.Name(word, all); other != "" {
		return Target{}, fmt.Errorf("there is no kind %q; did you mean %s/%s?", word, other, name)
	}
	return Target{}, fmt.Errorf("kind %q cannot be explained: use dns, %s", word, strings.Join(all, ", "))
}

func kindOf(name string) kind {
	all := kinds()
	return all[slices.IndexFunc(all, func(k kind) bool { return k.name == name })]
}

// Explain follows the target's way through the facts.
func Explain(f *Facts, t Target) *Explanation {
	c := &chain{f: f, about: strings.ToLower(t.Kind) + "/" + t.Name}
	c.out = Explanation{Object: c.about, Namespace: f.Namespace, State: Fine}
	if t.Kind == "DNS" {
		c.resolve(t.Name)
	} else {
		k := kindOf(t.Kind)
		if k.cluster {
			c.out.Namespace = ""
		}
		switch text := f.Unread[k.resource]; {
		case text != "" && !slices.Contains(k.names(f), t.Name):
			c.broken(cause{hop: "object", reason: "Unreadable", text: "the " + k.resource + " could not be read: " + text, do: "Ask for the right to read " + k.resource + ": kubectl auth can-i get " + k.resource + " -n " + f.Namespace})
		case !k.follow(c, t.Name):
			c.absent(k, t.Name)
		}
	}
	for _, r := range slices.Sorted(keysOf(f.Unread)) {
		c.out.Unread = append(c.out.Unread, r+": "+f.Unread[r])
	}
	return &c.out
}

// absent is an object that there is not: near names are named, and the same name elsewhere.
func (c *chain) absent(k kind, name string) {
	w := cause{hop: "object", reason: "NotFound", text: fmt.Sprintf("there is no %s %s", k.name, name)}
	if !k.cluster {
		w.text += " in namespace " + c.f.Namespace
		w.missing = &Ref{k.name, c.f.Namespace, name}
	}
	w.do = "See those that there are: kubectl get " + k.resource
	if !k.cluster {
		w.do = "See those that there are: " + c.kubectl("get %s", k.resource)
	}
	if last := c.f.events(k.name, name, ""); len(last) > 0 { // it was there: an event outlives its object by an hour
		w.details = []string{"the last event of a " + k.name + " of this name, at " + eventTime(&last[0]).UTC().Format("15:04:05 UTC") + ": " + last[0].Reason + ": " + short(last[0].Message, 300)}
	}
	have := k.names(c.f)
	if other := near.Name(name, have); other != "" {
		w.text += "; there is a " + k.name + " " + other
		w.do = "Use the name " + other
		c.broken(w)
		return
	}
	if first, all := c.f.elsewhere(k.name, name); first != "" {
		w.reason = "Elsewhere"
		w.text += "; there is one in " + all
		w.do = fmt.Sprintf("Ask there: kubectl why %s/%s -n %s", strings.ToLower(k.name), name, first)
		c.broken(w)
		return
	}
	for _, other := range kinds() {
		if other.name != k.name && !other.cluster && slices.Contains(other.names(c.f), name) {
			w.text += fmt.Sprintf("; there is a %s %s", other.name, name)
			w.do = fmt.Sprintf("Ask about it: kubectl why %s/%s", strings.ToLower(other.name), name)
			c.broken(w)
			return
		}
	}
	var begins []string
	for _, h := range have {
		if strings.HasPrefix(h, name+"-") {
			begins = append(begins, h)
		}
	}
	if len(begins) > 0 {
		w.text += "; names that begin so: " + short(strings.Join(begins, ", "), 200)
		w.do = "Use one of these names."
	}
	c.broken(w)
}

// Survey explains all objects of the namespace that no other one stands for: controllers rather than their pods. What is
// broken comes first, then what waits.
func Survey(f *Facts) []*Explanation {
	var out []*Explanation
	for _, k := range kinds() {
		if k.cluster {
			continue
		}
		for _, name := range k.names(f) {
			if f.owned(k.name, name) {
				continue
			}
			out = append(out, Explain(f, Target{k.name, name}))
		}
	}
	rank := map[State]int{Broken: 0, Waiting: 1, Unknown: 2, Fine: 3}
	sort.SliceStable(out, func(i, j int) bool { return rank[out[i].State] < rank[out[j].State] })
	return out
}

// owned reports whether a controller that is asked about has made an object.
func (f *Facts) owned(kind, name string) bool {
	var m metav1.Object
	switch kind {
	case "Pod":
		m = find(f.Pods, name)
	case "ReplicaSet":
		m = find(f.ReplicaSets, name)
	case "Job":
		m = find(f.Jobs, name)
	default:
		return false
	}
	return metav1.GetControllerOf(m) != nil
}

// Path returns the path of the target at the API server, "" if it is no object.
func (t Target) Path(namespace string) string {
	for _, k := range kinds() {
		if k.name == t.Kind {
			if k.cluster {
				namespace = ""
			}
			group := groupOf(k.resource)
			if k.resource == "ingresses" {
				group = "networking.k8s.io/v1"
			}
			return listPath(group, namespace, k.resource) + "/" + t.Name
		}
	}
	return ""
}
