package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/metrics"
	"wheelhouse/cluster/apiserver/nodeproxy"
	"wheelhouse/cluster/apiserver/usage"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/connlimit"
	"wheelhouse/cluster/journal"
)

// New returns a Server. It starts nothing.
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
		refusals: journal.New(),
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

// drainTimeout is how long requests may go on when the server stops.
const drainTimeout = 5 * time.Second

// The bounds on clients before they are authenticated. A class may share one address.
const (
	maxPerSource   = 2000
	maxConnections = 8000
	headerTimeout  = 10 * time.Second // for the TLS handshake, and for the head of a request
	headerBytes    = 128 << 10
)

// Serve answers requests on ln, over TLS if conf is not nil (HTTP/2 and HTTP/1.1), until
// ctx ends; then it ends the streams and waits a moment for the other requests.
func (s *Server) Serve(ctx context.Context, ln net.Listener, conf *tls.Config) error {
	bounded := connlimit.New(ln, connlimit.Config{PerSource: maxPerSource, Total: maxConnections, WriteStall: s.ClientTimeouts.Write, StreamStall: s.ClientTimeouts.Stream})
	srv := &http.Server{
		Handler:     s.Handler(),
		ConnContext: client.WithPeer,
		ConnState: func(c net.Conn, state http.ConnState) {
			bounded.ConnState(c, state)
			s.conns.Track(c, state)
		},
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      connection.AnswerTimeout, // extended while an answer makes progress
		IdleTimeout:       3 * time.Minute,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		// One client-go process multiplexes all its watches and requests over one
		// connection, and opens another beyond this many, upstream's number. What clients send is kept for
		// handlers that do not read it yet: no more than most objects are large.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          100,
			MaxReadFrameSize:              256 << 10,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     256 << 10,
		},
	}
	if conf != nil {
		conf = conf.Clone()
		conf.NextProtos = []string{"h2", "http/1.1"}
		srv.TLSConfig = conf
	}
	done := make(chan error, 1)
	go func() {
		if conf != nil {
			done <- srv.ServeTLS(bounded, "", "")
		} else {
			done <- srv.Serve(bounded)
		}
	}()
	select {
	case err := <-done:
		s.Close()
		return err
	case <-ctx.Done():
	}
	s.Close()
	_ = ln.Close()
	s.drain()
	_ = srv.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// drain waits for the requests in flight, and for their answers to be sent.
// http.Server.Shutdown would wait a second more for every idle HTTP/2 connection.
func (s *Server) drain() {
	const step = 5 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	quiet := 0
	for waited := time.Duration(0); waited < drainTimeout && quiet < 4; waited += step {
		<-tick.C
		if s.active.Load() == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
}

// Drop closes the connections whose client certificate is refused, and those to kubelets, so
// that they are verified again.
func (s *Server) Drop(refused func(*x509.Certificate) bool) {
	s.nodes.Reset()
	s.conns.Drop(refused)
}
