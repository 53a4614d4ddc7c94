package kubelet

import (
	"bytes"
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

// verdict is the result of one probe. An unknown result changes nothing.
type verdict int

const (
	unknown verdict = iota
	success
	failure
)

const (
	probeOutputLimit = 10 << 10
	probeRedirects   = 10
)

// target is the container that a probe or hook is about.
type target struct {
	id        string
	container *v1.Container
	podIP     string
}

// probe asks once. The text is what an event shall say; an error means that the
// question could not be asked.
func probe(ctx context.Context, rt Streams, p *v1.Probe, t target) (verdict, string, error) {
	timeout := time.Duration(max(p.TimeoutSeconds, 1)) * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case p.Exec != nil:
		return probeExec(ctx, rt, p.Exec.Command, t.id, timeout)
	case p.HTTPGet != nil:
		return probeHTTP(ctx, p.HTTPGet, t)
	case p.TCPSocket != nil:
		port, err := portNumber(p.TCPSocket.Port, t.container)
		if err != nil {
			return unknown, "", err
		}
		return probeTCP(ctx, net.JoinHostPort(cmp.Or(p.TCPSocket.Host, t.podIP), strconv.Itoa(port)))
	case p.GRPC != nil:
		service := ""
		if p.GRPC.Service != nil {
			service = *p.GRPC.Service
		}
		return probeGRPC(ctx, net.JoinHostPort(t.podIP, strconv.Itoa(int(p.GRPC.Port))), service, timeout)
	}
	return unknown, "", errors.New("the probe names no action")
}

func probeExec(ctx context.Context, rt Streams, cmd []string, id string, timeout time.Duration) (verdict, string, error) {
	out := &limitedBuffer{limit: probeOutputLimit}
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

func probeTCP(ctx context.Context, addr string) (verdict, string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return failure, err.Error(), nil
	}
	conn.Close()
	return success, "", nil
}

// probeClient is for probes and hooks: no proxy, no shared connections, and a
// certificate is not checked, as upstream.
func probeClient(host string) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: host},
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse // a redirect elsewhere says the app is up
			}
			if len(via) >= probeRedirects {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
}

func httpRequest(ctx context.Context, a *v1.HTTPGetAction, t target, agent string) (*http.Request, error) {
	port, err := portNumber(a.Port, t.container)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(a.Path)
	if err != nil { // such as a path with a lone percent sign: take it literally
		u = &url.URL{Path: a.Path}
	}
	u.Scheme = strings.ToLower(cmp.Or(string(a.Scheme), "http"))
	u.Host = net.JoinHostPort(cmp.Or(a.Host, t.podIP), strconv.Itoa(port))
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

func probeHTTP(ctx context.Context, a *v1.HTTPGetAction, t target) (verdict, string, error) {
	r, err := httpRequest(ctx, a, t, "kube-probe/1.36")
	if err != nil {
		return unknown, "", err
	}
	res, err := probeClient(r.Host).Do(r)
	if err != nil {
		return failure, err.Error(), nil
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, probeOutputLimit))
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		return failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", res.StatusCode), nil
	}
	return success, "", nil
}

func probeGRPC(ctx context.Context, addr, service string, timeout time.Duration) (verdict, string, error) {
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

// portNumber resolves a port that may be named in the container.
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

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	bytes.Buffer
	limit int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := b.limit - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
