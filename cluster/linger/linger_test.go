package linger_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"wheelhouse/cluster/linger"
)

// The last words reach a client that goes on sending until it has read them.
func TestWhatWasWrittenLastArrives(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 50 {
		closed := make(chan error, 1)
		go func() {
			raw, err := l.Accept()
			if err != nil {
				closed <- err
				return
			}
			c := linger.New(raw, time.Minute)
			if _, err = io.ReadFull(c, make([]byte, 64<<10)); err == nil {
				_, err = io.WriteString(c, "exit code 9")
			}
			if err != nil {
				closed <- err
				return
			}
			closed <- c.Close()
		}()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for err := error(nil); err == nil; {
				_, err = c.Write(make([]byte, 16<<10))
			}
		}()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "exit code 9" {
			t.Fatalf("connection %d: %q, %v", i, got, err)
		}
		_ = c.Close()
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
	}
}

// A peer that never closes is waited for no longer than the limit.
func TestLimit(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := linger.New(raw, 50*time.Millisecond)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := raw.Write([]byte("x")); err == nil {
		t.Error("the connection is open after Close")
	}
}
