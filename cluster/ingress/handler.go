package ingress

import (
	"bufio"
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"wheelhouse/cluster/connlimit"
)

// The bounds of requests under way, and how long a client may pause within a body.
const (
	requestsPerSource, requestsTotal = 500, 2000
	bodyStall                        = 60 * time.Second
)

// handler routes requests by the table of the moment.
type handler struct {
	table     atomic.Pointer[Table]
	transport *transport
	proxy     *httputil.ReverseProxy
	limits    connlimit.Limiter
	access    *slog.Logger // nil: no access log
	stall     time.Duration
}

// exchange is a request and its response.
type exchange struct {
	http.ResponseWriter

	client  netip.Addr
	method  string
	backend *Backend // nil: nobody is responsible
	body    *body    // nil: the request has none

	endpoint netip.AddrPort // the last one tried
	tries    int
	status   int
	bytes    int64
	err      error
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		x.status = status
		if h := x.Header(); h.Get("Server") == "" {
			h.Set("Server", "wheelhouse")
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// Hijack implements http.Hijacker, for connections that are upgraded.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err == nil {
		x.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// Unwrap is for http.ResponseController: flush, hijack, deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func newHandler(access *slog.Logger) *handler {
	h := &handler{
		transport: newTransport(), access: access, stall: bodyStall,
		limits: connlimit.Limiter{PerSource: requestsPerSource, Total: requestsTotal},
	}
	h.table.Store(&Table{certs: newCertificates()})
	h.proxy = &httputil.ReverseProxy{
		Transport: h.transport, Rewrite: rewrite, BufferPool: &buffers{}, ErrorHandler: failed,
		ErrorLog: log.New(discard{}, "", 0), // clients can cause any number of them; the access log has what matters
	}
	return h
}

// rewrite sets the headers about the client, in place of those that the client sent.
func rewrite(r *httputil.ProxyRequest) {
	for name := range r.Out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			delete(r.Out.Header, name)
		}
	}
	r.SetXForwarded()
	_, port, err := net.SplitHostPort(localAddr(r.In.Context()))
	if err == nil {
		r.Out.Header.Set("X-Forwarded-Port", port)
	}
	r.Out.Header.Set("X-Real-IP", exchangeOf(r.In.Context()).client.String())
	r.Out.URL.RawQuery = r.In.URL.RawQuery // as it came: the endpoint decides what is a fault in it
	r.Out.URL.Scheme, r.Out.Host = "http", r.In.Host
}

func localAddr(ctx context.Context) string {
	if a, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); ok {
		return a.String()
	}
	return ""
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	x := &exchange{ResponseWriter: w, method: r.Method}
	defer h.log(x, r, began)
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		refuse(x, http.StatusBadRequest, "the client has no address")
		return
	}
	x.client = from.Addr().Unmap()
	release, ok := h.limits.Acquire(net.TCPAddrFromAddrPort(from))
	if !ok {
		x.Header().Set("Retry-After", "1")
		refuse(x, http.StatusServiceUnavailable, "too many requests are under way")
		return
	}
	defer release()
	if r.ContentLength != 0 && r.Body != http.NoBody {
		x.body = &body{reader: r.Body, controller: http.NewResponseController(w), stall: h.stall}
		x.body.extend()
		defer x.body.end()
	}
	if r.Method == http.MethodConnect || !strings.HasPrefix(r.URL.Path, "/") {
		refuse(x, http.StatusBadRequest, "this is not a request for a path of a host")
		return
	}
	x.backend = h.table.Load().Match(r.Host, r.URL.Path)
	switch {
	case x.backend == nil:
		refuse(x, http.StatusNotFound, "no Ingress has a rule for this host and path")
	case x.backend.problem != "":
		refuse(x, http.StatusServiceUnavailable, x.backend.problem)
	case x.backend.options.maxBody > 0 && r.ContentLength > x.backend.options.maxBody:
		refuse(x, http.StatusRequestEntityTooLarge, "the body is larger than the Ingress allows")
	default:
		h.forward(x, r)
	}
}

func (h *handler) forward(x *exchange, r *http.Request) {
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if x.body != nil {
		if limit := x.backend.options.maxBody; limit > 0 {
			x.body.reader = http.MaxBytesReader(x.ResponseWriter, r.Body, limit)
		}
		if x.backend.h2c && r.ProtoMajor == 2 { // a stream, on which both sides may pause; pings find a client that is gone
			x.body.clear()
			x.body.stall = 0
		}
		r.Body = x.body
	}
	h.proxy.ServeHTTP(x, r)
}

// failed answers a request that got no response.
func failed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	x.err = err
	if x.body != nil && x.body.failed() != nil {
		x.err = x.body.failed() // the cause: net/http ends the request's context with it
	}
	var tooLarge *http.MaxBytesError
	switch err := x.err; {
	case errors.As(err, &tooLarge):
		refuse(x, http.StatusRequestEntityTooLarge, "the body is larger than the Ingress allows")
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		refuse(x, statusClientClosed, "the client has gone")
	case errors.Is(err, errTimeout):
		refuse(x, http.StatusGatewayTimeout, "the endpoint did not respond in time")
	case x.body != nil && errors.Is(x.body.failed(), os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		refuse(x, http.StatusRequestTimeout, "the body did not come in time")
	default:
		refuse(x, http.StatusBadGateway, "no endpoint has given a response")
	}
}

// statusClientClosed is what nginx has in its log for a client that did not wait; no client sees it.
const statusClientClosed = 499

func refuse(x *exchange, status int, text string) {
	x.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.Header().Set("X-Content-Type-Options", "nosniff")
	x.WriteHeader(status)
	_, _ = x.Write([]byte(text + "\n")) // a client that has gone gets nothing
}

// log writes a line for the exchange. What clients send is quoted by the logger.
func (h *handler) log(x *exchange, r *http.Request, began time.Time) {
	if h.access == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("client", x.client.String()), slog.String("method", r.Method), slog.String("host", r.Host), slog.String("path", r.URL.EscapedPath()),
		slog.String("proto", r.Proto), slog.Bool("tls", r.TLS != nil), slog.Int("status", x.status), slog.Int64("bytes", x.bytes),
		slog.Float64("seconds", time.Since(began).Seconds()), slog.String("agent", r.UserAgent()),
	}
	if b := x.backend; b != nil {
		attrs = append(attrs, slog.String("ingress", b.Ingress.String()), slog.String("service", b.Service))
	}
	if x.tries > 0 {
		attrs = append(attrs, slog.String("endpoint", x.endpoint.String()), slog.Int("tries", x.tries))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("err", x.err.Error()))
	}
	h.access.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

// buffers implements httputil.BufferPool.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
