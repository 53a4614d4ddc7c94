package kubelet_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A client that speaks no SPDY has two channels for each port: the first message of
// either names the port, then data flows, until the pod's side hangs up.
func testForwardChannels(t *testing.T, n *testNode) {
	t.Helper()
	dial := func(query string) (*websocket.Conn, *http.Response, error) {
		pair, err := tls.X509KeyPair(n.rest().CertData, n.rest().KeyData)
		if err != nil {
			t.Fatal(err)
		}
		d := websocket.Dialer{
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}, // the test's own server
			Subprotocols:    []string{"v4.channel.k8s.io"},
		}
		return d.Dial("wss://"+n.host+"/portForward/default/streams"+query, http.Header{"Origin": {"http://localhost"}})
	}
	for query, code := range map[string]int{"": 400, "?port=0": 400, "?port=web": 400} {
		if _, resp, err := dial(query); err == nil || resp == nil || resp.StatusCode != code {
			t.Errorf("%q: %v, want %d", query, err, code)
		}
	}
	c, _, err := dial("?port=8080,9")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteMessage(websocket.BinaryMessage, []byte("\x00GET /f HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	said := map[byte]string{}
	for !strings.Contains(said[0], "there and back\n") || len(said[3]) <= 2 {
		_, msg, err := c.ReadMessage()
		if err != nil {
			t.Fatalf("%v; seen until then: %q", err, said)
		}
		said[msg[0]] += string(msg[1:])
	}
	for channel, port := range map[byte]uint16{0: 8080, 1: 8080, 2: 9, 3: 9} {
		if got := said[channel]; len(got) < 2 || binary.LittleEndian.Uint16([]byte(got)) != port {
			t.Errorf("channel %d begins with %q, want port %d", channel, got, port)
		}
	}
	if want := fmt.Sprintf("error forwarding port %d", 9); !strings.Contains(said[3], want) {
		t.Errorf("a port that nobody listens at: %q, want %q", said[3], want)
	}
	if len(said[1]) != 2 {
		t.Errorf("error of the good port: %q", said[1])
	}
	// Both connections have ended, and with them the web socket.
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			if strings.Contains(err.Error(), "timeout") {
				t.Error("the web socket stays open")
			}
			return
		}
	}
}
