// Package apiserver is the HTTP layer of the cluster: it turns requests of the
// Kubernetes API into calls of the store, and the store's answers into bytes.
//
// It owns paths, verbs, media types, status codes, and the lifecycle of a write
// (decode, default, admit, validate, store, answer). It keeps no state: all of it
// is in etcd, behind the store. What a kind means is in cluster/api, who may do
// what is in authn and authz, and policy is in admission. Nothing here starts
// before Serve; Handler may be called by in-process clients at once, with the user
// in the request's context.
//
// README.md draws the way of a request. Every failure is a metav1.Status.
//
// managedFields are tracked from create on, for all writers (fieldmanager). Each write calls
// track once, after the defaults and before admission and the kind's own rules, as upstream, so
// that a manager owns the fields of its request and the server owns none.
package apiserver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/audit"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/metrics"
	"wheelhouse/cluster/apiserver/nodeproxy"
	"wheelhouse/cluster/apiserver/requestinfo"
	"wheelhouse/cluster/apiserver/usage"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/store"
)

// Authenticator finds out who sent a request; an error is answered with 401.
type Authenticator interface {
	Authenticate(*http.Request) (*client.User, error)
}

// Authorizer decides whether a request may pass; the reason goes into the 403.
type Authorizer interface {
	Authorize(context.Context, authz.Attributes) (allowed bool, reason string, err error)
}

// Admission changes (Admit) and refuses (Validate) writes that are allowed as such. Done
// is called once for each Admit, with the outcome.
type Admission interface {
	Admit(context.Context, *admission.Request) error
	Validate(context.Context, *admission.Request) error
	Done(context.Context, *admission.Request, error)
}

// CreateFunc answers a POST of a kind that is not stored.
type CreateFunc = func(ctx context.Context, user *client.User, obj runtime.Object) (runtime.Object, error)

// TokenFunc issues a token for a service account that exists.
type TokenFunc = func(ctx context.Context, user *client.User, account *corev1.ServiceAccount, request *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error)

// Check is one line of /readyz?verbose; nil means well.
type Check struct {
	Name  string
	Check func(context.Context) error
}

// Component is one object of `kubectl get componentstatuses`. Probe returns what to
// print when it is well.
type Component struct {
	Name  string
	Probe func(context.Context) (string, error)
}

// Config is what a Server needs. Store and Authorizer are required; everything else
// has the default that is named. It has more than 20 fields because it is all that the server
// is wired with; New passes most of them to the packages.
type Config struct {
	Store         *store.Store
	Table         *api.Table    // of builtin; SetTable replaces it
	Authenticator Authenticator // nil: only in-process callers get in
	Authorizer    Authorizer
	Admission     Admission  // nil: admits everything
	Audit         *audit.Log // nil: nothing is audited
	// Journal keeps the last writes of each object; nil: none.
	Journal *journal.Log
	// OpenAPI returns what answers /openapi/ for a table; nil: 404.
	OpenAPI func(*api.Table) http.Handler
	// Paths answers further paths that are not resources; one that ends with / also those
	// below it.
	Paths map[string]http.Handler

	// Virtual answers the kinds which are not stored, such as the access reviews.
	Virtual             map[schema.GroupVersionResource]CreateFunc
	ServiceAccountToken TokenFunc
	// KubeletTLS is the client side of connections to kubelets; nil: log, exec and
	// the like answer 503. The kubelet of a node has to show that node's certificate, of
	// one of the RootCAs, unless InsecureSkipVerify is set.
	KubeletTLS *tls.Config
	// Reach is where the server connects to for a request.
	Reach nodeproxy.Reach
	// MetricsFresh is how old an answer about what pods use may be; 5 s.
	MetricsFresh time.Duration

	Ready      []Check     // beyond the server's own, for /readyz
	Components []Component // for componentstatuses
	Version    version.Info
	Metrics    []prometheus.Collector // beyond the server's own, for /metrics
	// Uncompressed are the peers to which bandwidth costs less than the processor
	// time of gzip; loopback is always one.
	Uncompressed []netip.Prefix
	// MaxInFlight and MaxMutating bound the requests that are executed at once, by their
	// sum, as upstream; 400 and 200. The priority levels divide it (see flowcontrol).
	MaxInFlight, MaxMutating int
	RequestTimeout           time.Duration             // of everything but streams; 60 s
	ClientTimeouts           connection.ClientTimeouts // of slow clients
	Log                      *slog.Logger
}

// Server answers the Kubernetes API.
type Server struct {
	Config
	routes   atomic.Pointer[routes]
	setTable sync.Mutex
	types    func() managedfields.TypeConverter // of the Go types
	nodes    *nodeproxy.Proxy
	usage    *usage.Collector
	flows    *flowcontrol.Controller
	metrics  *metrics.Metrics
	failing  sync.Map     // health checks that fail, by name
	active   atomic.Int64 // requests under way, of all sorts
	refusals *journal.Log // of creates that were refused

	conns connection.Set

	stopOnce sync.Once
	stopping chan struct{} // closed when streams shall end
}

// Close ends all streams, so that the HTTP server in front can shut down: watchers
// see the end of their answer and begin again elsewhere.
func (s *Server) Close() { s.stopOnce.Do(func() { close(s.stopping) }) }

func (s *Server) closing() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// routes is all that derives from one table of kinds. It does not change: SetTable puts
// another in its place, and requests under way keep the one that they began with.
type routes struct {
	table     *api.Table
	resources map[schema.GroupVersionResource]*resource
	discovery *discovery
	openAPI   http.Handler // nil: there is none
}

// resource is a kind as it is served: with its collection, nil if it is not stored,
// and what can be computed once.
type resource struct {
	*api.Kind    // as it is served; its Storage has the rules
	collection   *store.Collection
	routes       map[route]verbs
	fieldLabels  map[string]bool
	jsonPrefix   []byte // how every encoded object begins; lists leave it out
	returnsGone  bool   // a DELETE answers with the object, not with a Status
	columns      tableColumns
	groupVersion string
	retirement   string // the warning about a version that has had its time
	managers     managers
	reduced      *resource // the same in the kind's reduced form, nil if it has none
	wholeOnly    bool      // the reduced form, of which no table or metadata is made
}

// tableColumns are the columns of a kind, Name and Age for a kind that names none.
type tableColumns []metav1.TableColumnDefinition

// handler serves a request that is authorized.
type handler = func(*request) error

// verbs are what can be asked of one route.
type verbs map[string]handler

// route is a form of path below a resource: the resource itself, its objects by name, or
// one of their subresources.
type route struct {
	subresource string
	named       bool
}

// exchange is one request of the API with what is known of it, and its answer.
type exchange struct {
	*http.Request
	*requestinfo.Info
	s      *Server
	w      *connection.Writer
	user   *client.User
	routes *routes   // of the table of kinds when the request arrived
	res    *resource // of the path, nil when it has none
	// serve answers the request once it is allowed; refusal is the error when there is none.
	serve   handler
	refusal error

	audit     *audit.Trail
	inProcess bool // the caller is a component of this very process
	bodySize  int  // of what the client sent, or of what its patch made of the object
	ticket    flowcontrol.Ticket
	started   time.Time
	changedBy []string // the admission plugins that changed what is written
}

// responder writes answers.
type responder struct{ *exchange }

// decoder reads bodies.
type decoder struct{ *exchange }

// lifecycle writes objects: it decodes, defaults, admits, validates and stores them.
type lifecycle struct {
	*exchange
	responder
	decoder
}

// request is an exchange with all that handlers do.
type request struct{ lifecycle }

func newLifecycle(e *exchange) lifecycle { return lifecycle{e, responder{e}, decoder{e}} }

func newRequest(e *exchange) *request { return &request{newLifecycle(e)} }

// longRunning reports whether the request has no timeout and counts as a stream.
func (r *exchange) longRunning() bool { return r.serve != nil && r.Info.LongRunning() }

func (rt *routes) resource(group, version, plural string) *resource {
	return rt.resources[schema.GroupVersionResource{Group: group, Version: version, Resource: plural}]
}

// discovery holds the answers to /api, /apis and what is below them for one table of
// kinds, encoded.
type discovery struct {
	documents map[string]*document // by path; the aggregated ones by path, "|" and version
	paths     []string
}

type document struct {
	body []byte
	etag string
}
