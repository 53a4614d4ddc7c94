package journey

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// serviceLabel is the label of an endpoint slice that names its service.
const serviceLabel = "kubernetes.io/service-name"

// endpointSlice is what is read of an endpoint slice.
type endpointSlice struct {
	Object
	Endpoints []struct {
		TargetRef struct {
			UID types.UID `json:"uid"`
		} `json:"targetRef"`
	} `json:"endpoints"`
}

// endpoints reads the endpoint slices of a service, or those with a pod if it is not nil, with their journals, and returns
// the services that they are of. Of a pod's slices only the writes since it is there are shown.
func (r *reader) endpoints(ctx context.Context, service string, pod *Object) (services []string) {
	base := "/apis/discovery.k8s.io/v1/namespaces/" + url.PathEscape(r.namespace) + "/endpointslices"
	query := url.Values{"limit": {"500"}}
	if service != "" {
		query.Set("labelSelector", serviceLabel+"="+service)
	}
	text, err := r.client.Read(ctx, base, query, "", mostBytes)
	var list struct {
		Items []endpointSlice `json:"items"`
	}
	if err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	for i := range list.Items {
		s := &list.Items[i]
		of := s.Labels[serviceLabel]
		o := s.Object
		if pod != nil {
			if of == "" || !s.has(pod.UID) {
				continue
			}
			o = Object{ObjectMeta: metav1.ObjectMeta{Name: s.Name}, Since: pod.CreationTimestamp}
		}
		o.Kind, o.Journal = "EndpointSlice", r.journal(ctx, base+"/"+url.PathEscape(s.Name), url.Values{"journal": {"true"}})
		r.found = append(r.found, o)
		if !slices.Contains(services, of) {
			services = append(services, of)
		}
	}
	return services
}

// has reports whether a pod is an endpoint.
func (s *endpointSlice) has(pod types.UID) bool {
	for i := range s.Endpoints {
		if s.Endpoints[i].TargetRef.UID == pod {
			return true
		}
	}
	return false
}

// rules reads when each node has written the rules of a service, from a time on.
func (r *reader) rules(ctx context.Context, service *Object, since metav1.Time) {
	nodes, err := r.client.Find(ctx, "/api/v1", "nodes", "", metav1.ListOptions{Limit: mostNodes})
	if err != nil {
		return
	}
	written := make([][]Recorded, len(nodes))
	var wg sync.WaitGroup
	free := make(chan struct{}, 8)
	for i := range nodes {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			ctx, cancel := context.WithTimeout(ctx, nodeTime) // a node that is away does not hold up the others
			defer cancel()
			written[i] = r.journal(ctx, ofNode(nodes[i].Name, service.UID), nil)
		})
	}
	wg.Wait()
	r.found = append(r.found, Object{
		TypeMeta: metav1.TypeMeta{Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{Name: service.Name}, Since: since, Journal: slices.Concat(written...),
	})
}
