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
// Recorded decision, managedFields: to track the owner of every field on every
// write costs about as much as the write. An object gets managedFields when it is
// first applied server-side; what was there before then belongs to the manager
// "before-first-apply", and from then on every write keeps them up to date. That is
// upstream's own rule for objects which are older than server-side apply. Refused:
// tracking from create on (upstream's default), as it halves the rate of creates.
package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/applyconfigurations"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/audit"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/metrics"
	"wheelhouse/cluster/apiserver/nodeproxy"
	"wheelhouse/cluster/apiserver/usage"
	"wheelhouse/cluster/client"
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

// TokenFunc makes a token for a service account that exists.
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
// has the default that is named.
type Config struct {
	Store         *store.Store
	Table         *api.Table    // of builtin; SetTable replaces it
	Authenticator Authenticator // nil: only in-process callers get in
	Authorizer    Authorizer
	Admission     Admission  // nil: admits everything
	Audit         *audit.Log // nil: nothing is audited
	// OpenAPI returns what answers /openapi/ for a table; nil: 404.
	OpenAPI func(*api.Table) http.Handler
	// Paths answers further paths that are not resources, by their beginning.
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

	conns connection.Set

	stopOnce sync.Once
	stopping chan struct{} // closed when streams shall end
}

// New makes a Server. It starts nothing.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Authorizer == nil {
		return nil, errors.New("apiserver: Store and Authorizer are required")
	}
	if c.Table == nil {
		c.Table = builtin.Table()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 60 * time.Second
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 400
	}
	if c.MaxMutating == 0 {
		c.MaxMutating = 200
	}
	c.ClientTimeouts = c.ClientTimeouts.WithDefaults(c.RequestTimeout)
	if c.Version.GitVersion == "" {
		c.Version = defaultVersion()
	}
	s := &Server{
		Config:   c,
		types:    sync.OnceValue(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(api.Scheme) }),
		flows:    flowcontrol.New(c.MaxInFlight+c.MaxMutating, c.ClientTimeouts.QueueWait),
		stopping: make(chan struct{}),
	}
	s.metrics = metrics.New(append(c.Metrics, s.flows)...)
	rt, err := s.newRoutes(c.Table, nil)
	if err != nil {
		return nil, err
	}
	s.routes.Store(rt)
	objects := authz.FromStore(s.Store, []*api.Kind{core.Nodes, core.Pods, core.Services, core.Endpoints})
	s.nodes = nodeproxy.New(nodeproxy.Config{
		Objects: objects, Authorizer: c.Authorizer, KubeletTLS: c.KubeletTLS, Reach: c.Reach, Stopping: s.stopping,
	})
	used := usage.Config{Objects: objects, Fresh: c.MetricsFresh, Log: c.Log}
	if c.KubeletTLS != nil {
		used.Kubelet = s.nodes.GetKubelet
	}
	s.usage = usage.New(used)
	return s, nil
}

// Handler answers every path of the API. It can be used before and without Serve.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.handle) }

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
