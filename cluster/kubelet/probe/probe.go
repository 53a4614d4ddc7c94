// Package probe runs the probes and the lifecycle handlers of containers. It owns the
// goroutines of the probes, one for each container that has some, and keeps the last
// results: Manager implements podstatus.Results. It never stops or starts a container:
// that is decided from the results.
//
// The caller calls Follow for each running container, Retain with those that still run,
// and reads Health when the callback notifies it that a result has changed. The process
// must be in the node's network namespace.
package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/kubelet/cri"
)

// result is the outcome of one probe. An unknown one changes nothing.
type result int

const (
	unknown result = iota
	success
	warning // a success that is worth an event
	failure
)

const (
	outputLimit  = 10 << 10 // bytes
	askedLimit   = 160      // bytes of what a probe asks, in a record
	maxRedirects = 10
)

// Execer runs a command in a container and returns its exit code.
type Execer interface {
	Exec(ctx context.Context, id string, cmd []string, s cri.IO) (int, error)
}

// Target is the container that is probed, or whose handler runs.
type Target struct {
	ID        string
	Container *v1.Container
	Pod       cri.PodRef
	PodIP     string
}

// probe probes once. The text is for an event; an error means that the probe could not
// be run.
func probe(ctx context.Context, rt Execer, p *v1.Probe, t Target) (result, string, error) {
	timeout := time.Duration(max(p.TimeoutSeconds, 1)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case p.Exec != nil:
		return probeExec(ctx, rt, p.Exec.Command, t.ID, timeout)
	case p.HTTPGet != nil:
		return probeHTTP(ctx, p.HTTPGet, t)
	case p.TCPSocket != nil:
		port, err := portNumber(p.TCPSocket.Port, t.Container)
		if err != nil {
			return unknown, "", err
		}
		return probeTCP(ctx, net.JoinHostPort(cmp.Or(p.TCPSocket.Host, t.PodIP), strconv.Itoa(port)))
	case p.GRPC != nil:
		service := ""
		if p.GRPC.Service != nil {
			service = *p.GRPC.Service
		}
		return probeGRPC(ctx, net.JoinHostPort(t.PodIP, strconv.Itoa(int(p.GRPC.Port))), service, timeout)
	}
	return unknown, "", errors.New("the probe names no action")
}

// asked says what a probe asks for.
func asked(kind string, p *v1.Probe, t Target) string {
	what := "an action that is not named"
	switch {
	case p.Exec != nil:
		what = fmt.Sprintf("command %q", p.Exec.Command)
	case p.HTTPGet != nil:
		scheme := strings.ToLower(cmp.Or(string(p.HTTPGet.Scheme), "http"))
		what = "GET " + scheme + "://" + t.at(p.HTTPGet.Host, p.HTTPGet.Port) + "/" + strings.TrimPrefix(p.HTTPGet.Path, "/")
	case p.TCPSocket != nil:
		what = "a connection to " + t.at(p.TCPSocket.Host, p.TCPSocket.Port)
	case p.GRPC != nil:
		what = "a gRPC health check of " + t.at("", intstr.FromInt32(p.GRPC.Port))
	}
	return strings.ToLower(kind) + " probe of container " + t.Container.Name + ", " + what[:min(len(what), askedLimit)]
}

// at is the address of a port, of the pod if no host is named. A port that has no number is named.
func (t Target) at(host string, port intstr.IntOrString) string {
	text := port.String()
	if n, err := portNumber(port, t.Container); err == nil {
		text = strconv.Itoa(n)
	}
	return net.JoinHostPort(cmp.Or(host, t.PodIP), text)
}

func probeExec(ctx context.Context, rt Execer, cmd []string, id string, timeout time.Duration) (result, string, error) {
	out := &cri.LimitedBuffer{Limit: outputLimit}
	code, err := rt.Exec(ctx, id, cmd, cri.IO{Stdout: out, Stderr: out})
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return failure, fmt.Sprintf("command timed out: %q timed out after %s", strings.Join(cmd, " "), timeout), nil
	case err != nil:
		return unknown, "", err
	case code != 0:
		return failure, out.String(), nil
	}
	return success, out.String(), nil
}

func probeTCP(ctx context.Context, addr string) (result, string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return failure, err.Error(), nil //nolint:nilerr // the result of the probe
	}
	conn.Close()
	return success, "", nil
}

// send returns the status code of the answer and the beginning of its body. There is no proxy, no shared connection, and
// no check of the certificate, as upstream.
func send(r *http.Request) (int, string, error) {
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: r.Host},
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse // a redirect to another host means that the application is up
			}
			if len(via) >= maxRedirects {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, outputLimit))
	return res.StatusCode, string(body), err
}

func httpRequest(ctx context.Context, a *v1.HTTPGetAction, t Target, agent string) (*http.Request, error) {
	port, err := portNumber(a.Port, t.Container)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(a.Path)
	if err != nil { // such as a path with a single percent sign: it is taken literally
		u = &url.URL{Path: a.Path}
	}
	u.Scheme = strings.ToLower(cmp.Or(string(a.Scheme), "http"))
	u.Host = net.JoinHostPort(cmp.Or(a.Host, t.PodIP), strconv.Itoa(port))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", agent)
	r.Header.Set("Accept", "*/*")
	for _, h := range a.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			r.Host = h.Value
			continue
		}
		r.Header.Add(h.Name, h.Value)
	}
	return r, nil
}

func probeHTTP(ctx context.Context, a *v1.HTTPGetAction, t Target) (result, string, error) {
	r, err := httpRequest(ctx, a, t, "kube-probe/1.36")
	if err != nil {
		return unknown, "", err
	}
	code, body, err := send(r)
	switch {
	case err != nil:
		return failure, err.Error(), nil //nolint:nilerr // the result of the probe
	case code < http.StatusOK || code >= http.StatusBadRequest:
		return failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", code), nil
	case code >= http.StatusMultipleChoices:
		return warning, "Probe terminated redirects, Response body: " + body, nil
	}
	return success, "", nil
}

func probeGRPC(ctx context.Context, addr, service string, timeout time.Duration) (result, string, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return unknown, "", err
	}
	defer func() { _ = conn.Close() }()
	res, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service}, grpc.WaitForReady(false))
	switch status.Code(err) {
	case codes.OK:
	case codes.DeadlineExceeded:
		return failure, fmt.Sprintf("timeout: failed to connect service %q within %s", addr, timeout), nil
	default:
		return failure, fmt.Sprintf("service %q: %v", addr, err), nil
	}
	if res.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return failure, fmt.Sprintf("service unhealthy (responded with %q)", res.GetStatus()), nil
	}
	return success, "", nil
}

// portNumber resolves a port, which may be the name of a container port.
func portNumber(p intstr.IntOrString, c *v1.Container) (int, error) {
	n := p.IntValue()
	if p.Type == intstr.String {
		for _, cp := range c.Ports {
			if cp.Name == p.StrVal {
				n = int(cp.ContainerPort)
			}
		}
	}
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("invalid port %q of container %s", p.String(), c.Name)
	}
	return n, nil
}
