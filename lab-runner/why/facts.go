package why

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Facts are what was read of one namespace and of the cluster around it. They are written as JSON and read again for tests.
type Facts struct {
	Taken     time.Time
	Namespace string
	// Unread are the resources that could not be read, with the error. What is not there is no error.
	Unread map[string]string `json:",omitempty"`
	Workloads
	Network
	Storage
	Around
	Observed
}

// Workloads are the namespace's pods and what makes them.
type Workloads struct {
	Pods         []corev1.Pod                            `json:",omitempty"`
	Controllers  []corev1.ReplicationController          `json:",omitempty"`
	Deployments  []appsv1.Deployment                     `json:",omitempty"`
	ReplicaSets  []appsv1.ReplicaSet                     `json:",omitempty"`
	StatefulSets []appsv1.StatefulSet                    `json:",omitempty"`
	DaemonSets   []appsv1.DaemonSet                      `json:",omitempty"`
	Jobs         []batchv1.Job                           `json:",omitempty"`
	CronJobs     []batchv1.CronJob                       `json:",omitempty"`
	Autoscalers  []autoscalingv2.HorizontalPodAutoscaler `json:",omitempty"`
	Events       []corev1.Event                          `json:",omitempty"`
	Quotas       []corev1.ResourceQuota                  `json:",omitempty"`
}

// Network is how the namespace's pods are reached.
type Network struct {
	Services  []corev1.Service             `json:",omitempty"`
	Slices    []discoveryv1.EndpointSlice  `json:",omitempty"`
	Ingresses []networkingv1.Ingress       `json:",omitempty"`
	Policies  []networkingv1.NetworkPolicy `json:",omitempty"`
	Classes   []networkingv1.IngressClass  `json:",omitempty"`
}

// Storage is what the namespace's pods keep or read. Of ConfigMaps, Secrets and ServiceAccounts only the names are read.
type Storage struct {
	Claims         []corev1.PersistentVolumeClaim `json:",omitempty"`
	Volumes        []corev1.PersistentVolume      `json:",omitempty"`
	StorageClasses []storagev1.StorageClass       `json:",omitempty"`
	ConfigMaps     []string                       `json:",omitempty"`
	Secrets        []string                       `json:",omitempty"`
	Accounts       []string                       `json:",omitempty"`
	// Keys are those of the ConfigMaps that a pod in question refers to.
	Keys map[string][]string `json:",omitempty"`
}

// Around is the cluster around the namespace.
type Around struct {
	Nodes      []corev1.Node      `json:",omitempty"`
	Namespaces []corev1.Namespace `json:",omitempty"`
	// Requested is what the pods of each node request together, in all namespaces. It is read if a pod fits no node.
	Requested map[string]corev1.ResourceList `json:",omitempty"`
	// Elsewhere are objects of other namespaces with the name, or pods with the labels, that were asked for.
	Elsewhere []Ref `json:",omitempty"`
	// DNS is the cluster's DNS service, with its endpoints.
	DNS       *corev1.Service             `json:",omitempty"`
	DNSSlices []discoveryv1.EndpointSlice `json:",omitempty"`
}

// Observed is what was tried, beyond reading objects.
type Observed struct {
	// Logs are the last lines of containers, by POD/CONTAINER, of the run that ended if there is one.
	Logs map[string]string `json:",omitempty"`
	// Listening are the sockets of pods, as /proc/net has them. A pod that is missing could not be looked into.
	Listening map[string][]Socket `json:",omitempty"`
	// Answers are those of HTTP requests through the API server's proxy, by "pod NAME PORT" and "service NAME PORT".
	Answers map[string]Answer `json:",omitempty"`
	// NodePorts are the results of connecting to a NodePort, by "NODE PORT".
	NodePorts map[string]Answer `json:",omitempty"`
}

// Ref names an object.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Socket is one that is listened on, or bound for UDP.
type Socket struct {
	Protocol string // TCP or UDP
	Port     int32
	Loopback bool // reached from within the pod alone
}

// Answer is what came back.
type Answer struct {
	OK   bool   // something accepted the connection
	Text string // the status, or the error
}

// podsWith returns the pods with all labels of the selector, which is not empty, by name.
func (f *Facts) podsWith(selector map[string]string) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range f.Pods {
		if len(selector) > 0 && hasAll(f.Pods[i].Labels, selector) {
			out = append(out, &f.Pods[i])
		}
	}
	return sortPods(out)
}

// podsOf returns the pods that a controller owns.
func (f *Facts) podsOf(owner *metav1.ObjectMeta) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range f.Pods {
		if by := metav1.GetControllerOf(&f.Pods[i]); by != nil && by.UID == owner.UID {
			out = append(out, &f.Pods[i])
		}
	}
	return sortPods(out)
}

func sortPods(pods []*corev1.Pod) []*corev1.Pod {
	sort.Slice(pods, func(i, j int) bool { return pods[i].Name < pods[j].Name })
	return pods
}

func hasAll(labels, selector map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// events returns those of an object, the newest first.
func (f *Facts) events(kind, name, uid string) []corev1.Event {
	var out []corev1.Event
	for _, e := range f.Events {
		o := e.InvolvedObject
		if o.Kind == kind && o.Name == name && (uid == "" || o.UID == "" || string(o.UID) == uid) {
			out = append(out, e)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return eventTime(&out[i]).After(eventTime(&out[j])) })
	return out
}

// event returns the newest event of an object with one of the reasons, nil if there is none.
func (f *Facts) event(kind, name, uid string, reasons ...string) *corev1.Event {
	for _, e := range f.events(kind, name, uid) {
		if slices.Contains(reasons, e.Reason) {
			return &e
		}
	}
	return nil
}

func (f *Facts) podEvent(p *corev1.Pod, reasons ...string) *corev1.Event {
	return f.event("Pod", p.Name, string(p.UID), reasons...)
}

// podEventWith is as podEvent, for events with a text in the message.
func (f *Facts) podEventWith(p *corev1.Pod, text string, reasons ...string) *corev1.Event {
	for _, e := range f.events("Pod", p.Name, string(p.UID)) {
		if slices.Contains(reasons, e.Reason) && strings.Contains(e.Message, text) {
			return &e
		}
	}
	return nil
}

func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// quote is an event as a detail; nil gives none.
func quote(e *corev1.Event) string {
	if e == nil {
		return ""
	}
	return "event: " + e.Reason + ": " + short(e.Message, 400)
}

// short cuts a text of the cluster, which may be long.
func short(text string, most int) string {
	text = strings.TrimSpace(text)
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + " ..."
	}
	return text
}

func (f *Facts) age(t metav1.Time) time.Duration { return f.Taken.Sub(t.Time) }

func (f *Facts) node(name string) *corev1.Node {
	return find(f.Nodes, name)
}

// named is an object with metadata, such as *corev1.Pod.
type named[T any] interface {
	*T
	GetName() string
}

// find returns the object of a name, nil if there is none.
func find[T any, P named[T]](list []T, name string) P {
	for i := range list {
		if P(&list[i]).GetName() == name {
			return &list[i]
		}
	}
	return nil
}

// names returns the names of objects.
func names[T any, P named[T]](list []T) []string {
	var out []string
	for i := range list {
		out = append(out, P(&list[i]).GetName())
	}
	return out
}

// condition returns the status, reason and message of a pod's condition; status is "" if it has none.
func condition(p *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func isReady(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && condition(p, corev1.PodReady).Status == corev1.ConditionTrue
}

func readyCondition(n *corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// elsewhere returns the first of the other namespaces that have an object of a name, "" if none has, and words for all.
func (f *Facts) elsewhere(kind, name string) (first, all string) {
	var in []string
	for _, r := range f.Elsewhere {
		if r.Kind == kind && r.Name == name {
			in = append(in, r.Namespace)
		}
	}
	switch {
	case len(in) == 0:
		return "", ""
	case len(in) == 1:
		return in[0], "namespace " + in[0]
	case len(in) <= 3:
		return in[0], "namespaces " + strings.Join(in, ", ")
	}
	return in[0], fmt.Sprintf("namespaces %s and %d more", strings.Join(in[:3], ", "), len(in)-3)
}
