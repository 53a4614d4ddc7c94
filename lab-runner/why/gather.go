package why

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"wheelhouse/lab-runner/objects"
)

// The bounds of one question: of each list, each answer, each request, and all requests together.
const (
	mostItems   = 500
	mostBytes   = 16 << 20
	mostTime    = 10 * time.Second
	mostAtATime = 6
)

// Cluster gathers facts from an API server. Its methods only read; Dial, if set, connects to NodePorts.
type Cluster struct {
	client *objects.Client
	config *rest.Config
	// Slow multiplies the time of each request; 0 is 1.
	Slow float64
}

// New returns a Cluster for a configuration, which it does not change.
func New(config *rest.Config) (*Cluster, error) {
	own := rest.CopyConfig(config)
	own.QPS = -1 // the number of requests is bounded
	client, err := objects.New(own)
	if err != nil {
		return nil, err
	}
	return &Cluster{client: client, config: own}, nil
}

// Ask gathers the facts of a target, and explains them.
func (c *Cluster) Ask(ctx context.Context, namespace string, t Target) (*Explanation, *Facts, error) {
	f, err := c.Snapshot(ctx, namespace)
	if err != nil {
		return nil, nil, err
	}
	c.Deepen(ctx, f, t)
	return Explain(f, t), f, nil
}

func (c *Cluster) limit(d time.Duration) time.Duration {
	if c.Slow > 1 {
		return time.Duration(float64(d) * c.Slow)
	}
	return d
}

// read decodes one answer.
func (c *Cluster) read(ctx context.Context, path string, query url.Values, accept string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.limit(mostTime))
	defer cancel()
	text, err := c.client.Read(ctx, path, query, accept, mostBytes)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// page is a list of objects, with the mark that there are more.
type page[T any] struct {
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []T             `json:"items"`
}

// reading is one list of a snapshot.
type reading struct {
	resource string
	do       func(ctx context.Context) error
}

// into is a reading of objects into a list of the facts.
func into[T any](c *Cluster, group, namespace, resource string, out *[]T) reading {
	return reading{resource, func(ctx context.Context) error {
		var p page[T]
		err := c.read(ctx, listPath(group, namespace, resource), url.Values{"limit": {fmt.Sprint(mostItems)}}, "", &p)
		for i := range p.Items {
			any(&p.Items[i]).(metav1.Object).SetManagedFields(nil) // long, and of no explanation
		}
		*out = p.Items
		if err == nil && p.Metadata.Continue != "" {
			err = fmt.Errorf("there are more than %d; those that follow were not read", mostItems)
		}
		return err
	}}
}

const namesOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// namesInto is a reading of names alone: what the objects contain is not sent.
func namesInto(c *Cluster, namespace, resource string, out *[]string) reading {
	return reading{resource, func(ctx context.Context) error {
		var p page[metav1.PartialObjectMetadata]
		err := c.read(ctx, listPath("", namespace, resource), url.Values{"limit": {fmt.Sprint(mostItems)}}, namesOnly, &p)
		for _, o := range p.Items {
			*out = append(*out, o.Name)
		}
		return err
	}}
}

// listPath returns the path of a list; an empty group is the core group.
func listPath(group, namespace, resource string) string {
	path := "/api/v1"
	if group != "" {
		path = "/apis/" + group
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	return path + "/" + resource
}

// readings are those of a snapshot.
func (c *Cluster) readings(f *Facts) []reading {
	ns := f.Namespace
	return []reading{
		into(c, "", ns, "pods", &f.Pods), into(c, "", ns, "events", &f.Events), into(c, "", "", "nodes", &f.Nodes),
		into(c, "", ns, "services", &f.Services), into(c, "discovery.k8s.io/v1", ns, "endpointslices", &f.Slices),
		into(c, "apps/v1", ns, "deployments", &f.Deployments), into(c, "apps/v1", ns, "replicasets", &f.ReplicaSets),
		into(c, "apps/v1", ns, "statefulsets", &f.StatefulSets), into(c, "apps/v1", ns, "daemonsets", &f.DaemonSets),
		into(c, "", ns, "replicationcontrollers", &f.Controllers), into(c, "batch/v1", ns, "jobs", &f.Jobs), into(c, "batch/v1", ns, "cronjobs", &f.CronJobs),
		into(c, "autoscaling/v2", ns, "horizontalpodautoscalers", &f.Autoscalers), into(c, "", ns, "resourcequotas", &f.Quotas),
		into(c, "networking.k8s.io/v1", ns, "ingresses", &f.Ingresses), into(c, "networking.k8s.io/v1", ns, "networkpolicies", &f.Policies),
		into(c, "networking.k8s.io/v1", "", "ingressclasses", &f.Classes), into(c, "", ns, "persistentvolumeclaims", &f.Claims),
		into(c, "", "", "persistentvolumes", &f.Volumes), into(c, "storage.k8s.io/v1", "", "storageclasses", &f.StorageClasses),
		into(c, "", "", "namespaces", &f.Namespaces), namesInto(c, ns, "configmaps", &f.ConfigMaps), namesInto(c, ns, "secrets", &f.Secrets),
		namesInto(c, ns, "serviceaccounts", &f.Accounts),
		{"dns", func(ctx context.Context) error {
			var s corev1.Service
			err := c.read(ctx, "/api/v1/namespaces/kube-system/services/kube-dns", nil, "", &s)
			if err == nil {
				s.ManagedFields = nil
				f.DNS = &s
			}
			return err
		}},
	}
}

// Snapshot reads a namespace and the cluster around it: 25 lists of at most 500 objects, some at a time. What may not be
// read is in Unread; an error is that of a server that does not answer at all.
func (c *Cluster) Snapshot(ctx context.Context, namespace string) (*Facts, error) {
	f := &Facts{Namespace: namespace, Unread: map[string]string{}}
	var mu sync.Mutex
	var unreachable error
	c.each(ctx, c.readings(f), func(r reading, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch status := apierrors.APIStatus(nil); {
		case err == nil || apierrors.IsNotFound(err): // a group that the cluster does not have
		case errors.As(err, &status):
			f.Unread[r.resource] = short(err.Error(), 300)
			if apierrors.IsUnauthorized(err) {
				unreachable = err
			}
		case strings.Contains(err.Error(), "those that follow"):
			f.Unread[r.resource] = err.Error()
		default:
			f.Unread[r.resource], unreachable = short(err.Error(), 300), err
		}
	})
	f.Taken = time.Now()
	if unreachable != nil && f.Unread["pods"] != "" && f.Unread["services"] != "" {
		return nil, fmt.Errorf("the API server: %w; is the cluster up?", unreachable)
	}
	return f, nil
}

// each does the readings, some at a time.
func (c *Cluster) each(ctx context.Context, all []reading, done func(reading, error)) {
	var wg sync.WaitGroup
	turn := make(chan struct{}, mostAtATime)
	for _, r := range all {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			done(r, r.do(ctx))
		})
	}
	wg.Wait()
}

// Deepen adds to the facts what the target's explanation needs beyond the snapshot: logs, what containers listen on, answers
// of ports, objects of other namespaces.
func (c *Cluster) Deepen(ctx context.Context, f *Facts, t Target) {
	d := &deepening{Cluster: c, f: f}
	for range 3 { // what was read leads on, from an Ingress to a Service to a pod
		before := len(d.done)
		d.look(ctx, t)
		if len(d.done) == before {
			return
		}
	}
}

// SurveyDeep explains all objects of a snapshot, and looks deeper into the first one that is broken.
func (c *Cluster) SurveyDeep(ctx context.Context, f *Facts) []*Explanation {
	all := Survey(f)
	if len(all) > 0 && all[0].State != Fine {
		word, name, _ := strings.Cut(all[0].Object, "/")
		if t, err := ParseTarget([]string{word, name}); err == nil {
			c.Deepen(ctx, f, t)
			all[0] = Explain(f, t)
		}
	}
	return all
}

// deepening is one Deepen. mu guards the maps of f.
type deepening struct {
	*Cluster
	f    *Facts
	mu   sync.Mutex
	done []string // what was read already
}

// once reports whether something is to be read now.
func (d *deepening) once(what string) bool {
	if slices.Contains(d.done, what) {
		return false
	}
	d.done = append(d.done, what)
	return true
}

// The number of pods and of Services that are looked into.
const mostLooked = 4

func (d *deepening) look(ctx context.Context, t Target) {
	e := Explain(d.f, t)
	var all []reading
	services, pods := 0, 0
	for _, h := range e.Hops {
		kind, name, _ := strings.Cut(h.Object, "/")
		switch kind {
		case "pod":
			if p := find(d.f.Pods, name); p != nil && pods < mostLooked {
				pods++
				all = append(all, d.ofPod(p)...)
			}
		case "service":
			if s := find(d.f.Services, name); s != nil && services < mostLooked {
				services++
				all = append(all, d.ofService(s)...)
			}
		}
	}
	all = append(all, d.elsewhere(e)...)
	if d.f.DNS != nil && t.Kind == "DNS" && d.once("dns endpoints") {
		all = append(all, reading{"dns", func(ctx context.Context) error {
			var p page[json.RawMessage]
			if err := d.read(ctx, listPath("discovery.k8s.io/v1", "kube-system", "endpointslices"), url.Values{"labelSelector": {"kubernetes.io/service-name=kube-dns"}, "limit": {"20"}}, "", &p); err != nil {
				return err
			}
			return json.Unmarshal(join(p.Items), &d.f.DNSSlices)
		}})
	}
	d.each(ctx, all, func(r reading, err error) {
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.f.Unread[r.resource] = short(err.Error(), 200)
	})
}

func join(items []json.RawMessage) []byte {
	text, err := json.Marshal(items)
	if err != nil {
		return []byte("[]")
	}
	return text
}

// elsewhere reads objects of other namespaces with the name, or pods with the labels, that this one lacks.
func (d *deepening) elsewhere(e *Explanation) []reading {
	last := e.Last()
	resource, query, kind := "", url.Values{"limit": {"50"}}, ""
	if m := last.Missing; m != nil {
		resource, kind = resourceOf(m.Kind), m.Kind
		query.Set("fieldSelector", "metadata.name="+m.Name)
	}
	if last.Reason == "NoPodSelected" {
		_, name, _ := strings.Cut(last.Object, "/")
		if s := find(d.f.Services, name); s != nil {
			kind, resource = "Pod", "pods"
			query.Set("labelSelector", pairs(s.Spec.Selector))
		}
	}
	if resource == "" || !d.once("elsewhere "+resource+query.Encode()) {
		return nil
	}
	return []reading{{"other namespaces", func(ctx context.Context) error {
		var p page[metav1.PartialObjectMetadata]
		if err := d.read(ctx, listPath(groupOf(resource), "", resource), query, namesOnly, &p); err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, o := range p.Items {
			if o.Namespace != d.f.Namespace {
				d.f.Elsewhere = append(d.f.Elsewhere, Ref{kind, o.Namespace, o.Name})
			}
		}
		return nil
	}}}
}

// resourceOf returns the plural of a kind that may be missing.
func resourceOf(name string) string {
	switch name {
	case "ConfigMap", "Secret":
		return strings.ToLower(name) + "s"
	}
	for _, k := range kinds() {
		if k.name == name && !k.cluster {
			return k.resource
		}
	}
	return ""
}

// groupOf returns the group and version of a resource that can be asked about.
func groupOf(resource string) string {
	switch resource {
	case "deployments", "replicasets", "statefulsets", "daemonsets":
		return "apps/v1"
	case "jobs", "cronjobs":
		return "batch/v1"
	case "horizontalpodautoscalers":
		return "autoscaling/v2"
	case "ingresses":
		return "networking.k8s.io/v1"
	}
	return ""
}
