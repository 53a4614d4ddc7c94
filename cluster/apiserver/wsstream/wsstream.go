// Package wsstream upgrades requests to web sockets on which only the server sends: watches
// and logs.
//
// What the client sends is read and discarded. Callers must send each message with a deadline
// of their own, and Close the connection.
package wsstream

import (
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// maxMessage is the most that a client may send in a message.
const maxMessage = 64 << 10

// Upgrade upgrades the connection, or answers why it cannot. It calls closed when the client
// has closed the connection.
func Upgrade(w http.ResponseWriter, r *http.Request, closed func(), protocols ...string) (*websocket.Conn, error) {
	upgrader := websocket.Upgrader{
		Subprotocols: protocols,
		// Credentials are checked on every request; there are no cookies to abuse.
		CheckOrigin: func(*http.Request) bool { return true },
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxMessage)
	go func() { // answers pings too
		for err := error(nil); err == nil; {
			_, _, err = conn.NextReader()
		}
		_ = conn.Close()
		closed()
	}()
	return conn, nil
}

// Close ends the stream.
func Close(conn *websocket.Conn) {
	normal := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = conn.WriteControl(websocket.CloseMessage, normal, time.Now().Add(time.Second))
	_ = conn.Close()
}
