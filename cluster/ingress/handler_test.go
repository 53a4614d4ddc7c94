package ingress

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"wheelhouse/cluster/wait"
)

func TestForwardedHeaders(t *testing.T) {
	seen := make(chan *http.Request, 1)
	f := serveTable(t, everywhere(to(endpoint(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r }))), nil)
	req := must(http.NewRequest(http.MethodGet, "http://"+f.plain+"/a%2Fb/../c?x=1;y=2", nil))
	req.Host = "shop.example:80"
	for _, forged := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-Ip", "Forwarded"} {
		req.Header.Set(forged, "203.0.113.1")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	read(t, resp, err)
	got := <-seen
	_, port, _ := net.SplitHostPort(f.plain)
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "shop.example:80", "X-Forwarded-Proto": "http", "X-Forwarded-Port": port,
		"X-Forwarded-Prefix": "", "X-Real-Ip": "127.0.0.1", "Forwarded": "",
	} {
		if have := got.Header.Get(name); have != want {
			t.Errorf("%s is %q, want %q", name, have, want)
		}
	}
	if got.Host != "shop.example:80" || got.RequestURI != "/a%2Fb/../c?x=1;y=2" {
		t.Errorf("the endpoint gets %s%s", got.Host, got.RequestURI)
	}
}

func TestStatusWithoutBackend(t *testing.T) {
	f := serveTable(t, &Table{certs: newCertificates()}, nil)
	resp, err := http.Get("http://" + f.plain)
	if status, _ := read(t, resp, err); status != http.StatusNotFound {
		t.Errorf("without a rule: %d", status)
	}
	f.handler.table.Store(everywhere(&Backend{problem: "the Service has no ready endpoint"}))
	resp, err = http.Get("http://" + f.plain)
	if status, text := read(t, resp, err); status != http.StatusServiceUnavailable || !strings.Contains(text, "no ready endpoint") {
		t.Errorf("without endpoint: %d %s", status, text)
	}
	f.handler.table.Store(everywhere(to(closedPort(t))))
	resp, err = http.Get("http://" + f.plain)
	if status, _ := read(t, resp, err); status != http.StatusBadGateway {
		t.Errorf("an endpoint that does not listen: %d", status)
	}
}

// A request goes to another endpoint when the connect fails, with its body, which nobody has read.
func TestConnectFails(t *testing.T) {
	good := endpoint(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(must(io.ReadAll(r.Body))) })
	b := to(closedPort(t), good, closedPort(t))
	f := serveTable(t, everywhere(b), nil)
	for i := range 12 {
		f.handler.transport.avoid.until = nil // each begins at the endpoint whose turn it is
		want := strings.Repeat("x", i*1000)
		resp, err := http.Post("http://"+f.plain, "text/plain", strings.NewReader(want))
		if status, got := read(t, resp, err); status != http.StatusOK || got != want {
			t.Fatalf("%d: status %d, %d bytes of %d", i, status, len(got), len(want))
		}
	}
}

// reset closes connections once it has read a request.
func reset(t *testing.T, asked *atomic.Int32) netip.AddrPort {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					asked.Add(1)
				}
				_ = c.Close()
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// What may have had an effect is not repeated.
func TestNoResponse(t *testing.T) {
	var bad, good atomic.Int32
	b := to(reset(t, &bad), endpoint(t, func(http.ResponseWriter, *http.Request) { good.Add(1) }))
	f := serveTable(t, everywhere(b), nil)
	for range 4 {
		resp, err := http.Get("http://" + f.plain)
		if status, _ := read(t, resp, err); status != http.StatusOK {
			t.Errorf("GET: %d", status)
		}
	}
	if good.Load() != 4 || bad.Load() == 0 {
		t.Errorf("%d responses, %d requests without", good.Load(), bad.Load())
	}
	bad.Store(0)
	good.Store(0)
	statuses := map[int]int{}
	for range 4 {
		resp, err := http.Post("http://"+f.plain, "text/plain", strings.NewReader("one pizza"))
		status, _ := read(t, resp, err)
		statuses[status]++
	}
	if bad.Load()+good.Load() != 4 || statuses[http.StatusBadGateway] != int(bad.Load()) || bad.Load() == 0 {
		t.Errorf("4 POST were received %d times, with %v", bad.Load()+good.Load(), statuses)
	}
}

func TestBodyLimit(t *testing.T) {
	b := to(endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}))
	b.options.maxBody = 1000
	f := serveTable(t, everywhere(b), nil)
	post := func(body io.Reader) int {
		resp, err := http.Post("http://"+f.plain, "text/plain", body)
		status, _ := read(t, resp, err)
		return status
	}
	if got := post(strings.NewReader(strings.Repeat("x", 1000))); got != http.StatusOK {
		t.Errorf("a body of 1000 bytes: %d", got)
	}
	if got := post(strings.NewReader(strings.Repeat("x", 1001))); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 1001 bytes: %d", got)
	}
	if got := post(io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000)))); got != http.StatusRequestEntityTooLarge { // no length is known
		t.Errorf("a chunked body of 100000 bytes: %d", got)
	}
}

func TestResponseTimeout(t *testing.T) {
	release := make(chan struct{})
	b := to(endpoint(t, func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	b.options.timeout = 100 * time.Millisecond
	f := serveTable(t, everywhere(b), nil)
	resp, err := http.Get("http://" + f.plain)
	if status, _ := read(t, resp, err); status != http.StatusGatewayTimeout {
		t.Errorf("status %d", status)
	}
}

// A body that comes slowly, as over a class's wifi, is none of the endpoint's time.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	b := to(endpoint(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.options.timeout = 5 * time.Second
	f := serveTable(t, everywhere(b), nil)
	pieces, w := io.Pipe()
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for range 12 {
			<-tick.C
			_, _ = w.Write([]byte("piece"))
		}
		_ = w.Close()
	}()
	resp, err := http.Post("http://"+f.plain, "text/plain", pieces)
	if status, _ := read(t, resp, err); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

// A client that stops within a body is given up; the next request of a connection does not inherit the deadline.
func TestBodyStalls(t *testing.T) {
	held := make(chan struct{})
	f := serveTable(t, everywhere(to(endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/held" {
			<-held
		}
	}))), nil)
	f.handler.stall = 200 * time.Millisecond
	c := must(net.Dial("tcp", f.plain))
	defer c.Close()
	responses := bufio.NewReader(c)
	fmt.Fprintf(c, "POST /held HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
	time.AfterFunc(600*time.Millisecond, func() { close(held) }) // later than the stall: the body was complete
	resp, err := http.ReadResponse(responses, nil)
	if status, _ := read(t, resp, err); status != http.StatusOK {
		t.Errorf("a complete body and a slow response: %d", status)
	}
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel")
	resp, err = http.ReadResponse(responses, nil)
	if status, _ := read(t, resp, err); status != http.StatusRequestTimeout {
		t.Errorf("a body that stops: %d", status)
	}
	if _, err := responses.ReadByte(); err == nil {
		t.Error("the connection goes on")
	}
}

// A body that never comes holds nobody for longer, whatever the answer is.
func TestBodyNobodyReads(t *testing.T) {
	f := serveTable(t, &Table{certs: newCertificates()}, nil)
	f.handler.stall = 200 * time.Millisecond
	c := must(net.Dial("tcp", f.plain))
	defer c.Close()
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if status, _ := read(t, resp, err); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}

func TestWebsocket(t *testing.T) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	table := everywhere(to(endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		for {
			kind, p, err := c.ReadMessage()
			if err != nil {
				return
			}
			if err := c.WriteMessage(kind, append([]byte("re: "), p...)); err != nil {
				return
			}
		}
	})))
	var log wait.Output
	f := serveTable(t, table, &log)
	secret := tlsSecret("s", "ws.example")
	table.certs.add("ws.example", must(parseCertificate(secret)))
	for _, dial := range []struct {
		url    string
		dialer *websocket.Dialer
	}{
		{"ws://" + f.plain + "/chat", websocket.DefaultDialer},
		{"wss://" + f.secure + "/chat", &websocket.Dialer{TLSClientConfig: trusting(secret, "ws.example")}},
	} {
		c, resp, err := dial.dialer.Dial(dial.url, nil)
		if err != nil {
			t.Fatalf("%s: %v", dial.url, err)
		}
		_ = resp.Body.Close()
		for i := range 3 {
			text := fmt.Sprint("message ", i)
			if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, p, err := c.ReadMessage(); err != nil || string(p) != "re: "+text {
				t.Fatalf("got %q, %v", p, err)
			}
		}
		f.handler.table.Store(everywhere(to())) // a reload does not end it
		if err := c.WriteMessage(websocket.TextMessage, []byte("still")); err != nil {
			t.Fatal(err)
		}
		if _, p, err := c.ReadMessage(); err != nil || string(p) != "re: still" {
			t.Fatalf("after a reload: %q, %v", p, err)
		}
		f.handler.table.Store(table)
		_ = c.Close()
	}
	wait.Within(t, 60*time.Second, "two lines of the log", func() error {
		return wait.Seen(strings.Count(log.String(), `"status":101`) == 2, log.String())
	})
}

func TestGRPC(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	backend := grpc.NewServer()
	status := health.NewServer()
	status.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(backend, status)
	go func() { _ = backend.Serve(l) }()
	t.Cleanup(backend.Stop)
	b := to(netip.MustParseAddrPort(l.Addr().String()))
	b.h2c = true
	table := everywhere(b)
	secret := tlsSecret("s", "grpc.example")
	table.certs.add("grpc.example", must(parseCertificate(secret)))
	f := serveTable(t, table, nil)
	for at, how := range map[string]credentials.TransportCredentials{f.plain: insecure.NewCredentials(), f.secure: credentials.NewTLS(trusting(secret, "grpc.example"))} {
		c := must(grpc.NewClient(at, grpc.WithTransportCredentials(how)))
		client := healthpb.NewHealthClient(c)
		got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "shop"})
		if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%s: %v, %v", at, got, err)
		}
		if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "other"}); err == nil || !strings.Contains(err.Error(), "NotFound") {
			t.Errorf("%s: trailers with an error: %v", at, err)
		}
		stream := must(client.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "shop"}))
		for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING} {
			if got, err := stream.Recv(); err != nil || got.GetStatus() != want {
				t.Errorf("%s: the stream has %v, %v, want %v", at, got, err, want)
			}
			status.SetServingStatus("shop", healthpb.HealthCheckResponse_NOT_SERVING)
		}
		status.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
		_ = c.Close()
	}
}

func TestAccessLog(t *testing.T) {
	var log wait.Output
	at := endpoint(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	f := serveTable(t, everywhere(to(closedPort(t), at)), &log)
	req := must(http.NewRequest(http.MethodGet, "http://"+f.plain+"/a%0Ab", nil))
	req.Header.Set("User-Agent", "agent\"}\t{")
	for range 2 {
		resp, err := http.DefaultTransport.RoundTrip(req)
		read(t, resp, err)
	}
	wait.Within(t, 60*time.Second, "two lines", func() error { return wait.Seen(strings.Count(log.String(), "\n") == 2, log.String()) })
	for line := range bytes.Lines([]byte(log.String())) {
		var got struct {
			Client, Method, Host, Path, Agent, Service, Endpoint string
			Status, Bytes, Tries                                 int
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got.Client != "127.0.0.1" || got.Method != "GET" || got.Path != "/a%0Ab" || got.Agent != "agent\"}\t{" || got.Service != "web:80" || got.Endpoint != at.String() || got.Status != 200 || got.Bytes != 5 || got.Tries == 0 {
			t.Errorf("%s", line)
		}
	}
}

// One client does not take all the requests that may be under way.
func TestRequestsUnderWay(t *testing.T) {
	ctx, release := context.WithCancel(t.Context())
	var held atomic.Int32
	f := serveTable(t, everywhere(to(endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			held.Add(1)
			<-ctx.Done()
		}
	}))), nil)
	t.Cleanup(release) // also when the test fails
	f.handler.limits.PerSource = 3
	for range 3 {
		go func() {
			if resp, err := http.Get("http://" + f.plain + "/held"); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	wait.Within(t, 60*time.Second, "three that are held", func() error { return wait.Seen(held.Load() == 3, held.Load()) })
	get := func(want int) func() error {
		return func() error {
			resp, err := http.Get("http://" + f.plain)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			return wait.Seen(resp.StatusCode == want, resp.StatusCode)
		}
	}
	wait.Within(t, 60*time.Second, "503", get(http.StatusServiceUnavailable))
	release()
	wait.Within(t, 60*time.Second, "200", get(http.StatusOK))
}
