package kubelet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/connlimit"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// server is the node's HTTPS server, which the API server calls.
type server struct {
	listener net.Listener
	http     *http.Server
}

// connections bounds those to the node's server: the node's own pods reach it, and each
// takes a file descriptor of the process that runs them. The API server, one source, has as
// many streams at most. People who follow a log stop reading for a while.
var connections = connlimit.Config{PerSource: 1000, Total: 4000, WriteStall: 10 * time.Minute}

// listen opens the port; nil without a certificate.
func (k *Kubelet) listen() (*server, error) {
	if k.config.Serving == nil || k.config.ClientCAs == nil {
		return nil, nil
	}
	l, err := net.Listen("tcp", k.config.Listen)
	if err != nil {
		return nil, err
	}
	bounded := connlimit.New(l, connections)
	return &server{
		listener: tls.NewListener(bounded, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: k.config.Serving,
			ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: k.config.ClientCAs,
			NextProtos: []string{"http/1.1"}, // streams take over the connection
		}),
		http: &http.Server{
			Handler: k.handler(), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, ConnState: bounded.ConnState,
			ErrorLog: slog.NewLogLogger(k.log.Handler(), slog.LevelDebug),
		},
	}, nil
}

// port is the one that the node reports.
func (k *Kubelet) port() int32 {
	_, port, err := net.SplitHostPort(k.config.Listen)
	n, errPort := strconv.Atoi(port)
	if err != nil || errPort != nil {
		return 10250
	}
	return int32(n)
}

func (s *server) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler routes the server's paths.
func (k *Kubelet) handler() http.Handler {
	private := http.NewServeMux()
	private.HandleFunc("GET /pods", k.servePods)
	private.HandleFunc("GET /stats/summary", k.serveSummary)
	private.Handle("GET /metrics", k.ownMetrics())
	private.HandleFunc("GET /metrics/resource", k.serveResourceMetrics)
	private.HandleFunc("DELETE /provisionedVolumes/{name}", k.serveRemoveProvisioned)
	private.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.serveLogs)
	for _, pod := range []string{"{namespace}/{pod}", "{namespace}/{pod}/{uid}"} {
		private.HandleFunc("/exec/"+pod+"/{container}", k.serveExec)
		private.HandleFunc("/attach/"+pod+"/{container}", k.serveAttach)
		private.HandleFunc("/portForward/"+pod, k.servePortForward)
	}
	k.aboutNode(private)
	return k.guarded(private)
}

func (k *Kubelet) serveHealth(w http.ResponseWriter, _ *http.Request) {
	k.mu.Lock()
	err := k.health
	k.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, "ok")
}

func (k *Kubelet) servePods(w http.ResponseWriter, _ *http.Request) {
	list := v1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []v1.Pod{}}
	k.mu.Lock()
	for _, worker := range k.workers {
		worker.mu.Lock()
		list.Items = append(list.Items, *worker.pod)
		worker.mu.Unlock()
	}
	k.mu.Unlock()
	writeJSON(w, list)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // fails only if the caller is gone
}

// httpError is an error with the status that it is answered by.
type httpError struct {
	code int
	error
}

// failRequest answers with a Status object, which the API server passes on: it is what
// clients know to show.
func failRequest(w http.ResponseWriter, err error) {
	code, reason := http.StatusInternalServerError, metav1.StatusReasonInternalError
	var known *httpError
	switch {
	case errors.As(err, &known):
		code = known.code
	case cri.IsNotFound(err):
		code = http.StatusNotFound
	}
	switch code {
	case http.StatusBadRequest:
		reason = metav1.StatusReasonBadRequest
	case http.StatusNotFound:
		reason = metav1.StatusReasonNotFound
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Message: err.Error(), Reason: reason, Code: int32(code),
	}
	_ = json.NewEncoder(w).Encode(status) // a client that is gone needs no answer
}

func notFound(format string, args ...any) error {
	return &httpError{http.StatusNotFound, fmt.Errorf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// containers finds the containers of a name in the request's pod, newest first.
func (k *Kubelet) containers(r *http.Request) (*worker, []cri.Container, error) {
	w := k.workerOf(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("uid"))
	if w == nil {
		return nil, nil, notFound("pod %q not found", r.PathValue("namespace")+"/"+r.PathValue("pod"))
	}
	all, err := k.runtime.List(r.Context(), w.ref.UID)
	if err != nil {
		return nil, nil, err
	}
	name := r.PathValue("container")
	var out []cri.Container
	for _, c := range all {
		if c.Name == name && c.State != cri.Created {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b cri.Container) int { return b.Attempt - a.Attempt })
	return w, out, nil
}

// running finds the request's container, which must be running.
func (k *Kubelet) running(r *http.Request) (cri.Container, error) {
	w, list, err := k.containers(r)
	if err != nil {
		return cri.Container{}, err
	}
	w.mu.Lock()
	known := podspec.Container(w.pod, r.PathValue("container")) != nil
	w.mu.Unlock()
	switch {
	case !known:
		return cri.Container{}, notFound("container %s is not valid for pod %s", r.PathValue("container"), w.ref.Name)
	case len(list) == 0 || list[0].State != cri.Running:
		return cri.Container{}, &httpError{http.StatusInternalServerError, fmt.Errorf("container not found (%q)", r.PathValue("container"))}
	}
	return list[0], nil
}
