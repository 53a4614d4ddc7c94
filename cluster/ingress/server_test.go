package ingress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/wait"
)

// trusting is the configuration of a client that asks for a host and trusts the certificate of a Secret only.
func trusting(s *corev1.Secret, host string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.Data[corev1.TLSCertKey])
	return &tls.Config{RootCAs: pool, ServerName: host, MinVersion: tls.VersionTLS12}
}

func TestTLS(t *testing.T) {
	table := everywhere(to(endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.Header.Get("X-Forwarded-Proto"))
	})))
	a, wild := tlsSecret("a", "a.example"), tlsSecret("wild", "*.wild.example")
	table.certs.add("a.example", must(parseCertificate(a)))
	table.certs.add("*.wild.example", must(parseCertificate(wild)))
	table.certs.add("a.example", must(parseCertificate(wild))) // another Ingress claims it later
	f := serveTable(t, table, nil)
	for _, c := range []struct {
		host   string
		secret *corev1.Secret
	}{{"a.example", a}, {"A.example", a}, {"x.wild.example", wild}} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			transport := &http.Transport{TLSClientConfig: trusting(c.secret, c.host), Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(proto == "HTTP/1.1")
			transport.Protocols.SetHTTP2(proto == "HTTP/2.0")
			resp, err := (&http.Client{Transport: transport}).Get("https://" + f.secure)
			if err != nil {
				t.Errorf("%s, %s: %v", c.host, proto, err)
				continue
			}
			if _, text := read(t, resp, nil); resp.Proto != proto || text != "HTTP/1.1 https" {
				t.Errorf("%s: the client has %s, the endpoint %s", c.host, resp.Proto, text)
			}
			transport.CloseIdleConnections()
		}
	}
	for _, host := range []string{"b.example", "x.y.wild.example", ""} {
		c, err := tls.Dial("tcp", f.secure, &tls.Config{ServerName: host, InsecureSkipVerify: true}) //nolint:gosec // the certificate is what is looked at
		if err != nil {
			t.Errorf("%q: %v", host, err)
			continue
		}
		if name := c.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "Wheelhouse Ingress default certificate" {
			t.Errorf("%q has the certificate of %s", host, name)
		}
		_ = c.Close()
	}
	if c, err := tls.Dial("tcp", f.secure, &tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil { //nolint:gosec // an old client
		_ = c.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

func TestHugeHeaders(t *testing.T) {
	f := serveTable(t, everywhere(to(endpoint(t, func(http.ResponseWriter, *http.Request) {}))), nil)
	for size, want := range map[int]int{16 << 10: http.StatusOK, 40 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		req := must(http.NewRequest(http.MethodGet, "http://"+f.plain, nil))
		req.Header.Set("X-Long", strings.Repeat("x", size))
		resp, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("headers of %d bytes: %d, want %d", size, resp.StatusCode, want)
		}
		_ = resp.Body.Close() // what follows may be cut: the server closes without having read all
	}
}

// Clients that send nothing, or slowly, do not keep others from being served: beyond the limit they are replaced, and
// after the time for headers they are closed.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	f := serveTable(t, everywhere(to(endpoint(t, func(http.ResponseWriter, *http.Request) {}))), nil)
	var slow []net.Conn
	for i := range connsPerSource + 50 {
		at := f.plain
		if i%2 == 0 {
			at = f.secure
		}
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nX-Slow: "); err == nil {
			slow = append(slow, c)
		}
	}
	resp, err := (&http.Transport{}).RoundTrip(must(http.NewRequest(http.MethodGet, "http://"+f.plain, nil)))
	if status, _ := read(t, resp, err); status != http.StatusOK {
		t.Errorf("beside them: %d", status)
	}
	for _, c := range slow { // each is closed by the server, with an error or a response that says so
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("a slow client is still connected")
		}
	}
}

// A port that is in use is waited for.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	other := must(net.Listen("tcp", "127.0.0.1:0"))
	at := netip.MustParseAddrPort(other.Addr().String())
	h := newHandler(nil)
	var served atomic.Bool
	s := &server{handler: h, fallback: must(selfSigned()), log: newLog(t), changed: func() { served.Store(true) }}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, at, netip.AddrPort{}) }()
	if served.Load() {
		t.Error("it serves at a port of another")
	}
	_ = other.Close()
	wait.Within(t, 60*time.Second, "a response", func() error {
		resp, err := http.Get("http://" + at.String())
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
