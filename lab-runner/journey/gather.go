package journey

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/lab-runner/objects"
	"wheelhouse/lab-runner/why"
)

// The bounds of what is read: bytes of an answer, owners above an object, objects of a kind that it has made (the
// newest), objects of a list, nodes, and how long a node may take.
const (
	mostBytes  = 8 << 20
	mostOwners = 4
	mostMade   = 3
	mostListed = 500
	mostNodes  = 50
	mostTime   = 15 * time.Second
	nodeTime   = 3 * time.Second
)

// reader reads what a cluster has recorded. Who has fewer rights reads less.
type reader struct {
	client    *objects.Client
	namespace string
	found     []Object
	events    []corev1.Event
}

// gather reads an object, its owners, what it has made, the endpoints and rules of a pod or service, and the events of
// them all. An object that is not there is an error, unless a create of it was refused.
func gather(ctx context.Context, client *objects.Client, namespace string, t why.Target) (found []Object, events []corev1.Event, err error) {
	r := &reader{client: client, namespace: namespace}
	first, err := r.read(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	r.found = append(r.found, first)
	for by := metav1.GetControllerOf(&first); by != nil && len(r.found) <= mostOwners; {
		owner, err := r.read(ctx, why.Target{Kind: by.Kind, Name: by.Name})
		if err != nil {
			break // it is gone, or of a kind that is not known
		}
		r.found = append(r.found, owner)
		by = metav1.GetControllerOf(&owner)
	}
	slices.Reverse(r.found) // the owners come first: of one second, what made an object stands before it
	switch t.Kind {
	case "Deployment":
		r.made(ctx, &first, "/apis/apps/v1", "replicasets", "ReplicaSet")
	case "CronJob":
		r.made(ctx, &first, "/apis/batch/v1", "jobs", "Job")
	case "Service":
		r.endpoints(ctx, first.Name, nil)
		r.rules(ctx, &first, metav1.Time{})
	case "Pod":
		for _, service := range r.endpoints(ctx, "", &first) {
			if s, err := r.read(ctx, why.Target{Kind: "Service", Name: service}); err == nil {
				r.rules(ctx, &s, first.CreationTimestamp)
			}
		}
	}
	return r.found, r.events, nil
}

// read reads an object with its journals and its events.
func (r *reader) read(ctx context.Context, t why.Target) (o Object, err error) {
	path := t.Path(r.namespace)
	if path == "" {
		return o, fmt.Errorf("%s/%s is no object", t.Kind, t.Name)
	}
	journal := r.journal(ctx, path, url.Values{"journal": {"true"}}) // another server answers with the object
	text, err := r.client.Read(ctx, path, nil, "", mostBytes)
	switch {
	case apierrors.IsNotFound(err) && len(journal) > 0:
		o.Name = t.Name
	case err != nil:
		return o, err
	default:
		if err := json.Unmarshal(text, &o); err != nil {
			return o, fmt.Errorf("%s: %w", path, err)
		}
	}
	o.Kind, o.Journal = t.Kind, journal
	if t.Kind == "Pod" && o.Spec.NodeName != "" {
		o.Journal = append(o.Journal, r.journal(ctx, ofNode(o.Spec.NodeName, o.UID), nil)...)
	}
	namespace := r.namespace
	if o.Namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	var list corev1.EventList
	query := url.Values{"fieldSelector": {"involvedObject.kind=" + t.Kind + ",involvedObject.name=" + t.Name}, "limit": {"200"}}
	if text, err := r.client.Read(ctx, "/api/v1/namespaces/"+namespace+"/events", query, "", mostBytes); err == nil && json.Unmarshal(text, &list) == nil {
		r.events = append(r.events, list.Items...)
	}
	return o, nil
}

// journal reads a journal, nil where there is none, or no right to it.
func (r *reader) journal(ctx context.Context, path string, query url.Values) []Recorded {
	text, err := r.client.Read(ctx, path, query, "", mostBytes)
	if err != nil {
		return nil
	}
	return readJournal(text)
}

// ofNode is the path of what a node's process has recorded of an object.
func ofNode(node string, uid types.UID) string {
	return "/api/v1/nodes/" + url.PathEscape(node) + "/proxy/journal/" + url.PathEscape(string(uid))
}

// made reads the newest objects of a kind that an object controls.
func (r *reader) made(ctx context.Context, o *Object, api, resource, kind string) {
	list, err := r.client.Find(ctx, api, resource, r.namespace, metav1.ListOptions{Limit: mostListed})
	if err != nil {
		return
	}
	list = slices.DeleteFunc(list, func(m metav1.ObjectMeta) bool { return !metav1.IsControlledBy(&m, o) })
	slices.SortFunc(list, func(a, b metav1.ObjectMeta) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	for i := range list[:min(len(list), mostMade)] {
		if below, err := r.read(ctx, why.Target{Kind: kind, Name: list[i].Name}); err == nil {
			r.found = append(r.found, below)
		}
	}
}
