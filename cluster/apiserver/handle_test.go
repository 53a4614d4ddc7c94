package apiserver_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/client"
)

// named are users by the header Who: service accounts of the namespaces a, b, ...
type named struct{}

func (named) Authenticate(req *http.Request) (*client.User, error) {
	switch who := req.Header.Get("Who"); who {
	case "":
		return &client.User{Name: "admin", Groups: []string{"system:masters"}}, nil
	case "bad token":
		return nil, fmt.Errorf("a bad token")
	case "nobody":
		return &client.User{Name: "system:anonymous", Groups: []string{"system:unauthenticated"}}, nil
	default:
		return &client.User{Name: "system:serviceaccount:" + who + ":default", Groups: []string{"system:serviceaccounts", "system:authenticated"}}, nil
	}
}

// hostile makes connections that do not behave, as the service account of namespace "hostile".
type hostile struct {
	t    *testing.T
	addr string
	tls  *tls.Config
	room int // for what it has not read, in bytes
}

func newHostile(t *testing.T, cfg *rest.Config) *hostile {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cfg.CAData)
	return &hostile{t, strings.TrimPrefix(cfg.Host, "https://"), &tls.Config{RootCAs: pool}, 4 << 10}
}

// dial connects with a receive buffer that holds no large answer.
func (h *hostile) dial(protocol string) net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	room := h.room
	if protocol == "h2" {
		room = 256 << 10 // there it is the window that counts
	}
	if err := c.(*net.TCPConn).SetReadBuffer(room); err != nil {
		h.t.Fatal(err)
	}
	conf := h.tls.Clone()
	conf.NextProtos, conf.ServerName = []string{protocol}, "127.0.0.1"
	secure := tls.Client(c, conf)
	if err := secure.HandshakeContext(within(h.t)); err != nil {
		h.t.Fatal(err)
	}
	return secure
}

// send begins a request over HTTP/1.1: only the beginning of its body is ever sent.
func (h *hostile) send(method, path string, length int, body string) net.Conn {
	h.t.Helper()
	c := h.dial("http/1.1")
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nWho: hostile\r\nAccept: application/json\r\n", method, path)
	if length > 0 {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", length)
	}
	if _, err := io.WriteString(c, head+"\r\n"+body); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// stream is a connection of HTTP/2 whose client gives the server no window: nothing of an
// answer's body may be sent.
type stream struct {
	*http2.Framer
	net.Conn
	next uint32
}

func (h *hostile) noWindow() *stream {
	h.t.Helper()
	c := h.dial("h2")
	s := &stream{http2.NewFramer(c, c), c, 1}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		h.t.Fatal(err)
	}
	if err := s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (s *stream) send(t *testing.T, method, path, who string, end bool) {
	t.Helper()
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", method}, {":path", path}, {":scheme", "https"}, {":authority", "x"}, {"who", who}} {
		if err := e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	err := s.WriteHeaders(http2.HeadersFrameParam{StreamID: s.next, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	if err != nil {
		t.Fatal(err)
	}
	s.next += 2
}

// as sends a request and returns the status code; the client behaves.
func (r *raw) as(who, method, path, body string) int {
	r.t.Helper()
	resp, _ := r.do(method, path, asJSON, body, "Who", who)
	return resp.StatusCode
}

// exhausted takes with hold until the hostile user is refused itself: all that it may have is taken. The server ends
// connections that say too little in their first seconds, as they may on a busy machine: then they are made again.
func exhausted(t *testing.T, hold func(), try func() int) {
	t.Helper()
	ctx := within(t)
	last, since := 0, time.Time{}
	for last != http.StatusTooManyRequests {
		if time.Since(since) > 10*time.Second {
			hold()
			since = time.Now()
		}
		if last = try(); ctx.Err() != nil {
			t.Fatalf("the hostile user is still served: %d", last)
		}
	}
}

func startNamed(t *testing.T, options ...apitest.Option) (*raw, *hostile) {
	t.Helper()
	cfg := apitest.Start(t, append([]apitest.Option{func(c *apiserver.Config) { c.Authenticator = named{} }}, options...)...)
	return newRaw(t, cfg), newHostile(t, cfg)
}

func (r *raw) served(who string) {
	r.t.Helper()
	for i := range 20 {
		name := fmt.Sprint("m-", i)
		if code := r.as(who, "POST", maps, `{"metadata":{"name":"`+name+`"}}`); code != http.StatusCreated {
			r.t.Errorf("a create of %s: %d", who, code)
		}
		if code := r.as(who, "DELETE", maps+"/"+name, ""); code != http.StatusOK {
			r.t.Errorf("a delete of %s: %d", who, code)
		}
		if code := r.as(who, "GET", maps+"/large-0", ""); code != http.StatusOK {
			r.t.Errorf("a get of %s: %d", who, code)
		}
	}
}

// hold sends n requests whose bodies do not end, or whose answers it does not read; over HTTP/2 so many of them on
// each connection.
func (h *hostile) hold(protocol, method string, n, onEach int) {
	h.t.Helper()
	reads := method == "GET"
	if protocol == "HTTP/2" {
		for range n / onEach {
			s := h.noWindow()
			for range onEach {
				s.send(h.t, method, maps, "hostile", reads)
			}
		}
		return
	}
	length, body := 1000, "{"
	if reads {
		length, body = 0, ""
	}
	for range n {
		h.send(method, maps, length, body)
	}
}

// patientServer cuts nobody off while a test has still to begin all that a hostile user does.
func patientServer(c *apiserver.Config) {
	c.ClientTimeouts = connection.ClientTimeouts{Body: 5 * time.Minute, Write: 5 * time.Minute}
}

func TestSlowBodiesOfOneUser(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			r, h := startNamed(t, patientServer)
			largeMaps(t, r)
			exhausted(t, func() { h.hold(protocol, "POST", 260, 65) }, func() int { return r.as("hostile", "POST", maps, `{"metadata":{"generateName":"h"}}`) })
			r.served("other")
		})
	}
}

func largeMaps(t *testing.T, r *raw) {
	t.Helper()
	for i := range 20 {
		body := fmt.Sprintf(`{"metadata":{"name":"large-%d"},"data":{"a":"%s"}}`, i, strings.Repeat("x", 500<<10))
		if resp, answer := r.do("POST", maps, asJSON, body); resp.StatusCode != http.StatusCreated {
			t.Fatal(answer)
		}
	}
}

func TestReadersThatDoNotRead(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			r, h := startNamed(t, patientServer)
			largeMaps(t, r)
			exhausted(t, func() { h.hold(protocol, "GET", 450, 90) }, func() int { return r.as("hostile", "GET", maps, "") })
			r.served("other")
		})
	}
}

// slowReaders sets timeouts that only a client that does not read at all reaches: the tests'
// own bodies, of half a megabyte each, have the usual time, however busy the machine is.
func slowReaders(c *apiserver.Config) {
	c.ClientTimeouts = connection.ClientTimeouts{Write: 20 * time.Second, Seat: 10 * time.Millisecond}
}

// slowBodies sets a short time for a request's body. The requests that prepare the test have
// bodies that arrive with their headers.
func slowBodies(c *apiserver.Config) {
	c.ClientTimeouts = connection.ClientTimeouts{Body: 2 * time.Second}
}

func TestSlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	_, h := startNamed(t, slowBodies)
	for name, c := range map[string]net.Conn{
		"a length":               h.send("POST", maps, 1000, "{"),
		"no resource, so unread": h.send("POST", "/version", 1000, "{"),
	} {
		answer, err := io.ReadAll(c) // until the server closes the connection
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "a length" && !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 Request Timeout\r\n")) {
			t.Errorf("%s: %s", name, answer)
		}
	}
}

// metric waits for one of the server's figures to be in a range.
func (r *raw) metric(name string, least, most float64) {
	r.t.Helper()
	ctx, last := within(r.t), ""
	for ctx.Err() == nil {
		_, text := r.do("GET", "/metrics", "", "")
		for line := range strings.Lines(text) {
			value, ok := strings.CutPrefix(line, name+" ")
			if !ok {
				continue
			}
			var n float64
			if _, err := fmt.Sscan(value, &n); err != nil {
				r.t.Fatal(err)
			}
			if last = value; n >= least && n <= most {
				return
			}
		}
	}
	r.t.Fatalf("%s is %s, not %v to %v", name, last, least, most)
}

func TestReaderThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	const gets, watches = `apiserver_current_inflight_requests{request_kind="readOnly"}`, `apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="WATCH",version="v1"}`
	r, h := startNamed(t, slowReaders)
	largeMaps(t, r)
	h.send("GET", maps, 0, "")
	h.send("GET", maps+"?watch=1", 0, "")
	s := h.noWindow()
	s.send(t, "GET", maps, "hostile", true)
	s.send(t, "GET", maps+"?watch=1", "hostile", true)
	r.metric(gets, 3, 3) // with the one for the figures
	r.metric(watches, 2, 2)
	r.metric(gets, 1, 1)
	r.metric(watches, 0, 0)
	// The stream is reset; the connection stays usable.
	for reset := 0; reset < 2; {
		f, err := s.ReadFrame()
		if err != nil {
			t.Fatalf("after %d resets: %v", reset, err)
		}
		if _, ok := f.(*http2.RSTStreamFrame); ok {
			reset++
		}
	}
}

// TestSlowReader: a client that takes longer for its answer than one write may take gets
// all of it, if it reads on.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const write = 2 * time.Second
	r, h := startNamed(t, func(c *apiserver.Config) { c.ClientTimeouts.Write = write })
	largeMaps(t, r)
	h.room = 256 << 10
	c := h.send("GET", maps+"?limit=6", 0, "")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	tick := time.NewTicker(70 * time.Millisecond)
	defer tick.Stop()
	size, began := int64(0), time.Now()
	for err == nil {
		<-tick.C
		var n int64
		n, err = io.CopyN(io.Discard, resp.Body, 64<<10)
		size += n
	}
	if !errors.Is(err, io.EOF) || size != resp.ContentLength {
		t.Errorf("%d bytes of %d: %v", size, resp.ContentLength, err)
	}
	if took := time.Since(began); took < write {
		t.Errorf("it was no slow client: %v", took)
	}
}

// TestRefusalsAreNotKept: who does not even take the refusals gets none any more.
func TestRefusalsAreNotKept(t *testing.T) {
	r, h := startNamed(t)
	largeMaps(t, r)
	for _, who := range []string{"hostile", "bad token", "nobody"} {
		t.Run(who, func(t *testing.T) {
			var all []*stream
			for range 8 {
				s := h.noWindow()
				for range 250 {
					s.send(t, "GET", maps, who, true)
				}
				all = append(all, s)
			}
			resets := make(chan error)
			for _, s := range all {
				go func() {
					for {
						f, err := s.ReadFrame()
						if _, reset := f.(*http2.RSTStreamFrame); reset || err != nil {
							resets <- err
							return
						}
					}
				}()
			}
			if err := <-resets; err != nil {
				t.Error(err)
			}
			r.served("other")
		})
	}
}

// TestPanicsGiveBackWhatTheyHold: as do requests whose client leaves.
func TestPanicsGiveBackWhatTheyHold(t *testing.T) {
	r, h := startNamed(t, func(c *apiserver.Config) {
		c.Paths = map[string]http.Handler{"/panic": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("for the test") })}
	})
	const seats = `apiserver_flowcontrol_current_executing_seats{priority_level="workload-low"}`
	for range 300 { // more than a user may have under way
		if code := r.as("hostile", "GET", "/panic", ""); code != http.StatusInternalServerError {
			t.Fatalf("answered with %d", code)
		}
	}
	for range 3 {
		s := h.noWindow()
		for range 100 {
			s.send(t, "GET", maps, "hostile", true)
			if err := s.WriteRSTStream(s.next-2, http2.ErrCodeCancel); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.metric(seats, 0, 0)
	for range 20 {
		if code := r.as("hostile", "GET", maps, ""); code != http.StatusOK {
			t.Errorf("afterwards: %d", code)
		}
	}
}
