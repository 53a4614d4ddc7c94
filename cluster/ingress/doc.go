// Package ingress serves the Ingresses of the cluster: requests from outside are routed to the endpoints of Services, by
// host and path, with TLS from Secrets.
//
// It owns two listeners, the routes, the connections to endpoints, and the status of the Ingresses whose class names
// its controller (client.IngressController). Routes are computed from the informers' caches (Build, pure) into one immutable Table
// behind one pointer: a request keeps the Table that it began with, so that no change of an Ingress, a Service, an
// endpoint or a Secret loses a request. It connects to ready endpoints, not to the Service's address, and to another
// endpoint when a connect fails.
//
// It never authenticates anybody, trusts no header of a client about where the request came from, resolves no name, and
// changes no object but an Ingress's status. The caller starts the shared informers after New, and calls Run. Its
// credentials read the Secrets of type kubernetes.io/tls of all namespaces: it belongs on a master, not on nodes.
package ingress
