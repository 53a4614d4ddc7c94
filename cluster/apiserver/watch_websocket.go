package apiserver

import (
	"bytes"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"wheelhouse/cluster/apiserver/negotiate"
)

// wsSink sends each event as one message: text for JSON, binary for protobuf (without
// the length, which the message has itself).
type wsSink struct {
	conn  *websocket.Conn
	kind  int
	write time.Duration // for one message
}

// longestMessage is the most that a client may send, which is not read.
const longestMessage = 64 << 10

func (r *request) upgradeWatch(m *negotiate.Media) (sink, error) {
	upgrader := websocket.Upgrader{
		// Credentials are checked on every request; there are no cookies to abuse.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	conn, err := upgrader.Upgrade(r.w, r.Request, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(longestMessage)
	s := &wsSink{conn: conn, kind: websocket.TextMessage, write: r.s.ClientTimeouts.Write}
	if m == negotiate.Protobuf {
		s.kind = websocket.BinaryMessage
	}
	go func() { // answers pings, and notices that the client went away
		for {
			if _, _, err := conn.NextReader(); err != nil {
				_ = conn.Close()
				return
			}
		}
	}()
	return s, nil
}

func (s *wsSink) batches() bool { return false }

func (s *wsSink) send(frame []byte) error {
	if s.kind == websocket.BinaryMessage {
		frame = frame[4:]
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.write)) // the write reports a closed connection
	return s.conn.WriteMessage(s.kind, bytes.TrimSuffix(frame, []byte("\n")))
}

func (s *wsSink) close() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = s.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second))
	_ = s.conn.Close()
}
