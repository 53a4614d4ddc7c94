// Package server is the HTTPS server of a node: logs, exec, attach and port-forward of its
// pods, and statistics, metrics, health and configuration of the node. It authenticates
// and authorizes each request, by certificate or by a review of the API server, and bounds
// connections and reviews. It runs nothing and changes no pod; what it serves it reads
// through the interfaces of Config.
//
// The process must be in the node's network namespace. The caller calls Open and then the
// function that it returns, or uses Handler.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	config "k8s.io/kubelet/config/v1beta1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"wheelhouse/cluster/connlimit"
	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/zpages"
)

// Config is what a server is made of.
type Config struct {
	NodeName string
	// Listen is the address of the server.
	Listen    string
	Serving   func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	ClientCAs *x509.CertPool
	// AllowedUsers may do everything, by the common name of their certificate, as may the
	// group system:masters.
	AllowedUsers []string

	Client     kubernetes.Interface // for token and access reviews
	Node       Node
	Pods       Pods
	Disk       Disk
	Usage      Usage
	Containers Containers
	Streams    Streams
	Metrics    prometheus.Gatherer
	Cadvisor   prometheus.Gatherer // of what the containers use
	Probes     prometheus.Gatherer
	Flags      map[string]string // of the process
	Journal    *journal.Log      // of the pods
	Log        *slog.Logger
}

// Node is the kubelet as a whole.
type Node interface {
	// Health is why the node is not ready, nil if it is.
	Health() error
	// Configuration is that of the kubelet, in upstream's form.
	Configuration() *config.KubeletConfiguration
}

// Pods are the node's pods.
type Pods interface {
	Pods() []*v1.Pod
	// Pod returns a pod with its latest status, nil if the node has none of that name. An
	// empty uid is any.
	Pod(namespace, name, uid string) *v1.Pod
}

// Disk is the node's disk.
type Disk interface {
	// Logs is /var/log, out of which no link leads. done is called after the last use.
	Logs() (logs fs.FS, done func(), err error)
	// RemoveProvisioned removes the data of a provisioned volume; one that does not exist
	// is no error.
	RemoveProvisioned(volume string) error
}

// Usage is what the node and its pods use.
type Usage interface {
	Summary(ctx context.Context) *stats.Summary
	// ResourceMetrics are the metrics of /metrics/resource in the text format of Prometheus.
	ResourceMetrics() string
}

// Containers lists the containers of the runtime.
type Containers interface {
	// List is the containers of one pod, or of all pods if uid is empty, running or not, in
	// order of creation.
	List(ctx context.Context, uid string) ([]cri.Container, error)
	// Glance is all containers, in no order, and of each only its id, names, labels, state
	// and time of creation: it costs the runtime little.
	Glance(ctx context.Context) ([]cri.Container, error)
}

// Streams connects clients with containers.
type Streams interface {
	Logs(ctx context.Context, id string, o cri.LogOptions, stdout, stderr io.Writer) error
	// Exec runs a command in the container and returns its exit code.
	Exec(ctx context.Context, id string, cmd []string, s cri.IO) (int, error)
	Attach(ctx context.Context, id string, s cri.IO) error
}

// Server is the HTTPS server of a node, which the API server calls.
type Server struct {
	Config
	ctx context.Context // of Serve: a hijacked connection outlives its request
}

// New returns a server that does not listen yet.
func New(config Config) *Server { return &Server{Config: config, ctx: context.Background()} }

// connections bounds the connections: the node's own pods reach the server, and each
// connection takes a file descriptor of the process that runs them. The API server, one
// source, has as many streams at most. Clients that follow a log stop reading for a while.
var connections = connlimit.Config{PerSource: 1000, Total: 4000, WriteStall: 10 * time.Minute}

// Open opens the port. The server serves once serve is called, until ctx ends.
func (s *Server) Open(ctx context.Context) (serve func() error, err error) {
	h, l, err := s.open(ctx)
	return func() error {
		stop := context.AfterFunc(ctx, func() { _ = h.Close() })
		defer stop()
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, err
}

func (s *Server) open(ctx context.Context) (*http.Server, net.Listener, error) {
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, nil, err
	}
	s.ctx = ctx
	bounded := connlimit.New(l, connections)
	h := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, ConnState: bounded.ConnState,
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	return h, tls.NewListener(bounded, &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: s.Serving,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: s.ClientCAs,
		NextProtos: []string{"http/1.1"}, // streams hijack the connection
	}), nil
}

// Handler routes the paths of the server, behind authentication and authorization.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pods", s.servePods)
	mux.HandleFunc("GET /stats/summary", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, s.Usage.Summary(r.Context())) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /metrics/resource", s.serveResourceMetrics)
	mux.Handle("GET /metrics/cadvisor", promhttp.HandlerFor(s.Cadvisor, promhttp.HandlerOpts{}))
	mux.Handle("GET /metrics/probes", promhttp.HandlerFor(s.Probes, promhttp.HandlerOpts{}))
	pages := zpages.Config{
		Component: "kubelet", Version: zpages.Compatible, Flags: s.Flags,
		Paths: []string{"/configz", "/healthz", "/metrics"},
	}
	for path, page := range zpages.Handlers(pages) {
		mux.Handle(path, page)
	}
	mux.HandleFunc("DELETE /provisionedVolumes/{name}", s.serveRemoveProvisioned)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.serveLogs)
	for _, pod := range []string{"{namespace}/{pod}", "{namespace}/{pod}/{uid}"} {
		mux.HandleFunc("/exec/"+pod+"/{container}", s.serveExec)
		mux.HandleFunc("/attach/"+pod+"/{container}", s.serveAttach)
		mux.HandleFunc("/portForward/"+pod, s.servePortForward)
	}
	for _, path := range []string{"/healthz", "/healthz/ping", "/healthz/syncloop"} {
		mux.HandleFunc("GET "+path, s.serveHealth)
	}
	mux.HandleFunc("GET /configz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"kubeletconfig": s.Node.Configuration()})
	})
	for _, path := range []string{"/runningpods", "/runningpods/{$}"} { // the API server follows no redirection
		mux.HandleFunc("GET "+path, s.serveRunningPods)
	}
	mux.HandleFunc("GET /logs/", s.serveNodeLogs)
	mux.HandleFunc("GET /journal/{uid}", s.serveJournal)
	return s.authorized(mux)
}

// ProbesOf returns the key in the journal of what the probes of a pod were answered.
func ProbesOf(pod types.UID) types.UID { return pod + "/probes" }

// serveJournal answers with what this process has recorded of a pod or of a service.
func (s *Server) serveJournal(w http.ResponseWriter, r *http.Request) {
	uid := types.UID(r.PathValue("uid"))
	items := append(append([]journal.Entry{}, s.Journal.Of(uid)...), s.Journal.Of(ProbesOf(uid))...)
	slices.SortStableFunc(items, func(a, b journal.Entry) int { return a.Time.Compare(b.Time) })
	writeJSON(w, map[string]any{"kind": "JournalEntries", "items": items})
}
