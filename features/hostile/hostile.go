// Package hostile holds connections to an API server that do not behave, each kind in its
// own way, so that it can be measured what other clients get meanwhile. What a kind does
// is bounded: it is the server's answer to it that counts, not the speed of the attack.
package hostile

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Target is where hostile connections lead, and as whom.
type Target struct {
	Address string // host:port of the API server
	CA      []byte // PEM
	Token   string // of an account that may edit Namespace
	// Namespace has config maps, more than a connection's buffers hold, and Pod, which
	// prints more than that.
	Namespace, Pod string

	connected func() // is called for each connection that is made
}

// Kind is one way not to behave.
type Kind struct {
	Name string
	hold func(ctx context.Context, t *Target) error
}

// Kinds are all of them.
var Kinds = []Kind{
	{"silent connections", silence},
	{"handshakes", handshakes},
	{"slow headers", slowHead},
	{"slow bodies", slowBody},
	{"slow bodies over HTTP/2", slowBodies2},
	{"readers that do not read", unread("application/json")},
	{"readers without a window", noWindow},
	{"tables that nobody reads", unread("application/json;as=Table;g=meta.k8s.io;v=v1")},
	{"large lists", closed("application/json")},
	{"large tables", closed("application/json;as=Table;g=meta.k8s.io;v=v1")},
	{"watches", watches},
	{"log streams", logs},
	{"exec streams", upgrade("exec?command=sleep&command=60&stdout=1", "v5.channel.k8s.io")},
	{"port-forward streams", upgrade("portforward?ports=80", "v4.channel.k8s.io")},
	{"rapid resets", resets},
	{"bad tokens", badTokens},
	{"forbidden requests", forbidden},
}

// Hold keeps n connections of the kind until ctx ends: where one ends another is made. It
// calls ready when it has made so many.
func (k Kind) Hold(ctx context.Context, t *Target, n int, ready func()) {
	var all sync.WaitGroup
	var made atomic.Int64
	t.connected = func() {
		if made.Add(1) == int64(n) {
			ready()
		}
	}
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				attempt, end := context.WithCancel(ctx)
				_ = k.hold(attempt, t) // the server ends it in any way it likes
				end()
				pause(ctx, 200*time.Millisecond)
			}
		})
	}
	all.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// dial connects; the connection ends with ctx, or after some time.
func (t *Target) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, nil
}

func (t *Target) dialTLS(ctx context.Context, protocol string) (net.Conn, error) {
	c, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{protocol}}
	conf.RootCAs.AppendCertsFromPEM(t.CA)
	if conf.ServerName, _, err = net.SplitHostPort(t.Address); err != nil {
		return nil, err
	}
	secure := tls.Client(c, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	t.connected()
	return secure, nil
}

func (t *Target) maps() string { return "/api/v1/namespaces/" + t.Namespace + "/configmaps" }

func (t *Target) pod(part string) string {
	return "/api/v1/namespaces/" + t.Namespace + "/pods/" + t.Pod + "/" + part
}

// head is the beginning of a request over HTTP/1.1, without the empty line.
func (t *Target) head(method, path string, headers ...string) string {
	h := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n", method, path, t.Token)
	for _, line := range headers {
		h += line + "\r\n"
	}
	return h
}

// silence makes no TLS handshake.
func silence(ctx context.Context, t *Target) error {
	c, err := t.dial(ctx)
	if err != nil {
		return err
	}
	t.connected()
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	return err
}

// handshakes makes one connection after the other, as fast as it can.
func handshakes(ctx context.Context, t *Target) error {
	for ctx.Err() == nil {
		c, err := t.dialTLS(ctx, "http/1.1")
		if err != nil {
			return err
		}
		_ = c.Close()
	}
	return ctx.Err()
}

// drip sends a little every second.
func drip(ctx context.Context, c io.Writer, text string) error {
	for ctx.Err() == nil {
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		pause(ctx, time.Second)
	}
	return ctx.Err()
}

func slowHead(ctx context.Context, t *Target) error {
	c, err := t.dialTLS(ctx, "http/1.1")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, t.head("GET", "/")); err != nil {
		return err
	}
	return drip(ctx, c, "X-Slow: yes\r\n")
}

func slowBody(ctx context.Context, t *Target) error {
	c, err := t.dialTLS(ctx, "http/1.1")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, t.head("POST", t.maps(), "Content-Type: application/json", "Content-Length: 1000000")+"\r\n{"); err != nil {
		return err
	}
	return drip(ctx, c, " ")
}

// unread asks for the config maps and reads no answer. The server may end the connection;
// who does not read notices that late.
func unread(accept string) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		c, err := t.dialTLS(ctx, "http/1.1")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, t.head("GET", t.maps(), "Accept: "+accept)+"\r\n"); err != nil {
			return err
		}
		pause(ctx, 40*time.Second)
		return nil
	}
}

// logs follows a log and does not read it.
func logs(ctx context.Context, t *Target) error {
	c, err := t.dialTLS(ctx, "http/1.1")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, t.head("GET", t.pod("log?follow=true"))+"\r\n"); err != nil {
		return err
	}
	pause(ctx, 40*time.Second)
	return nil
}

// upgrade opens a web socket to a part of the pod, and does nothing with it.
func upgrade(part, protocol string) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		c, err := t.dialTLS(ctx, "http/1.1")
		if err != nil {
			return err
		}
		defer c.Close()
		head := t.head("GET", t.pod(part), "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: "+protocol)
		if _, err := io.WriteString(c, head+"\r\n"); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, c)
		return err
	}
}

// ask sends a request after the other over one connection and reads the answers, at most
// so many a second.
func (t *Target) ask(ctx context.Context, perSecond int, request func() string) error {
	c, err := t.dialTLS(ctx, "http/1.1")
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for ctx.Err() == nil {
		begun := time.Now()
		if _, err := io.WriteString(c, request()+"\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		wait := time.Second / time.Duration(perSecond)
		if resp.StatusCode == http.StatusTooManyRequests {
			wait = max(wait, 200*time.Millisecond)
		}
		pause(ctx, wait-time.Since(begun))
	}
	return ctx.Err()
}

// closed asks for the config maps as soon as the last answer has come.
func closed(accept string) func(context.Context, *Target) error {
	return func(ctx context.Context, t *Target) error {
		return t.ask(ctx, 1000, func() string { return t.head("GET", t.maps(), "Accept: "+accept) })
	}
}

// badTokens shows tokens that look like a service account's, each another.
func badTokens(ctx context.Context, t *Target) error {
	parts := strings.Split(t.Token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("the target's token is no JWT")
	}
	n := 0
	return t.ask(ctx, 5, func() string {
		n++
		forged := *t
		forged.Token = fmt.Sprintf("%s.%s.%043d%043d", parts[0], parts[1], n, time.Now().UnixNano())
		return forged.head("GET", "/api")
	})
}

// forbidden asks for what the account may not see.
func forbidden(ctx context.Context, t *Target) error {
	return t.ask(ctx, 5, func() string { return t.head("GET", "/api/v1/namespaces") })
}
