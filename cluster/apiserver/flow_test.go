package apiserver_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
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
}

func newHostile(t *testing.T, cfg *rest.Config) *hostile {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cfg.CAData)
	return &hostile{t, strings.TrimPrefix(cfg.Host, "https://"), &tls.Config{RootCAs: pool}}
}

// dial connects with a receive buffer that holds no large answer.
func (h *hostile) dial(protocol string) net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
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

// exhausted waits until the hostile user is refused itself: all that it may have is taken.
func exhausted(t *testing.T, try func() int) {
	t.Helper()
	ctx := within(t)
	last := 0
	for last != http.StatusTooManyRequests {
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
		body := fmt.Sprintf(`{"metadata":{"name":"%s-%d"}}`, who, i)
		if code := r.as(who, "POST", maps, body); code != http.StatusCreated {
			r.t.Errorf("a create of %s: %d", who, code)
		}
		if code := r.as(who, "GET", fmt.Sprintf("%s/%s-%d", maps, who, i), ""); code != http.StatusOK {
			r.t.Errorf("a get of %s: %d", who, code)
		}
	}
}

func TestSlowBodiesOfOneUser(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			r, h := startNamed(t)
			if protocol == "HTTP/2" {
				for range 4 {
					s := h.noWindow()
					for range 65 {
						s.send(t, "POST", maps, "hostile", false)
					}
				}
			} else {
				for range 260 {
					h.send("POST", maps, 1000, "{")
				}
			}
			exhausted(t, func() int { return r.as("hostile", "POST", maps, `{"metadata":{"generateName":"h"}}`) })
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
			r, h := startNamed(t)
			largeMaps(t, r)
			if protocol == "HTTP/2" {
				for range 5 {
					s := h.noWindow()
					for range 90 {
						s.send(t, "GET", maps, "hostile", true)
					}
				}
			} else {
				for range 440 {
					h.send("GET", maps, 0, "")
				}
			}
			exhausted(t, func() int { return r.as("hostile", "GET", maps, "") })
			r.served("other")
		})
	}
}
