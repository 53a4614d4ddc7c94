package apiserver

import (
	"bytes"
	"time"

	"github.com/gorilla/websocket"

	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/apiserver/wsstream"
)

// wsSink sends each event as one message: text for JSON, binary for protobuf (without
// the length, which the message has itself).
type wsSink struct {
	conn  *websocket.Conn
	kind  int
	write time.Duration // for one message
}

func (r *request) upgradeWatch(m *negotiate.Media) (sink, error) {
	conn, err := wsstream.Upgrade(r.w, r.Request, func() {})
	if err != nil {
		return nil, err
	}
	s := &wsSink{conn: conn, kind: websocket.TextMessage, write: r.s.ClientTimeouts.Write}
	if m == negotiate.Protobuf {
		s.kind = websocket.BinaryMessage
	}
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

func (s *wsSink) close() { wsstream.Close(s.conn) }
