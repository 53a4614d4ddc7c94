package ingress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	connectTimeout     = 3 * time.Second
	idleToEndpoint     = 60 * time.Second
	maxIdleToEndpoints = 1024
	maxResponseHeaders = 256 << 10
)

var (
	errNoEndpoint = errors.New("no endpoint")
	errTimeout    = errors.New("the endpoint did not respond in time")
)

// transport sends a request to an endpoint of its backend, and to another one where that loses nothing: when the connect
// failed and no byte of the body was read, and when a request that may be repeated got no response.
type transport struct {
	http1, h2c *http.Transport
	avoid      avoided
}

func newTransport() *transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	base := func(p func(*http.Protocols)) *http.Transport {
		t := &http.Transport{ // no proxy: the endpoints are the cluster's
			DialContext: dialer.DialContext, DisableCompression: true, IdleConnTimeout: idleToEndpoint, MaxIdleConns: maxIdleToEndpoints,
			MaxIdleConnsPerHost: maxIdleToEndpoints / 4, MaxResponseHeaderBytes: maxResponseHeaders, Protocols: new(http.Protocols),
			ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
		}
		p(t.Protocols)
		return t
	}
	return &transport{
		http1: base(func(p *http.Protocols) { p.SetHTTP1(true) }),
		h2c:   base(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	}
}

// close closes the connections that no request uses.
func (t *transport) close() {
	t.http1.CloseIdleConnections()
	t.h2c.CloseIdleConnections()
}

// RoundTrip implements http.RoundTripper, for requests with an exchange in their context.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r.Context())
	through := t.http1
	if x.backend.h2c {
		through = t.h2c
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(x.backend.options.timeout, func() { cancel(errTimeout) })
	if x.body != nil { // the endpoint's time begins when it has the whole body
		x.body.onProgress(func() { timer.Reset(x.backend.options.timeout) })
	}
	err := errNoEndpoint
	for _, endpoint := range x.backend.order(x.client, &t.avoid) {
		x.tries++
		x.endpoint = endpoint
		var resp *http.Response
		if resp, err = through.RoundTrip(attempt(ctx, r, endpoint)); err == nil {
			if x.stop(timer) {
				return resp, nil // its context ends with the client's request
			}
			_ = resp.Body.Close()
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		if !t.repeatable(x, err, endpoint) {
			break
		}
	}
	x.stop(timer)
	cancel(err)
	return nil, err
}

// stop stops the timer of the response, and reports whether it was in time.
func (x *exchange) stop(timer *time.Timer) bool {
	if x.body != nil {
		x.body.onProgress(nil)
	}
	return timer.Stop()
}

// repeatable reports whether another endpoint can be tried after an error.
func (t *transport) repeatable(x *exchange, err error, endpoint netip.AddrPort) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		t.avoid.add(endpoint)
		return x.body == nil || x.body.unread()
	}
	return x.body == nil && (x.method == http.MethodGet || x.method == http.MethodHead || x.method == http.MethodOptions)
}

// attempt returns the request for one endpoint.
func attempt(ctx context.Context, r *http.Request, endpoint netip.AddrPort) *http.Request {
	out := r.WithContext(ctx)
	u := *r.URL
	u.Host = endpoint.String()
	out.URL = &u
	if b := exchangeOf(ctx).body; b != nil {
		out.Body = b // not ReverseProxy's, which is closed for good by the first attempt
	}
	return out
}
