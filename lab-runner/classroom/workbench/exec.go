package workbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// Channels of a stream, by the first byte of a frame, as upstream's v5.channel.k8s.io has them.
const (
	channelProtocol = "v5.channel.k8s.io"
	channelIn       = 0
	channelOut      = 1
	channelErr      = 2
	channelStatus   = 3
	channelResize   = 4
	channelClose    = 255
)

// Bounds of a stream whose other end is not trusted: who administers the cluster can answer in place of a kubelet.
const (
	mostHandshake = 256 << 10 // bytes before the stream begins
	mostFrame     = 1 << 20
	mostStatus    = 64 << 10
	dialing       = 10 * time.Second
	pinging       = 15 * time.Second
	silent        = 4 * pinging
)

// errStream is a stream that does not follow the protocol.
var errStream = errors.New("the stream of the workbench is none of the protocol " + channelProtocol)

// channels is one stream.
type channels struct {
	conn    *websocket.Conn
	writing sync.Mutex
}

// execute runs a command as remotecommand does, and bounds what is read: client-go's executors read the end of a stream whole, and
// follow redirections.
func (m *Manager) execute(ctx context.Context, at *url.URL, o remotecommand.StreamOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := m.dial(ctx, *at)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	conn.SetReadLimit(mostFrame)
	c := &channels{conn: conn}
	go c.ping(ctx)
	if o.Stdin != nil {
		go c.feed(o.Stdin)
	}
	if o.TerminalSizeQueue != nil {
		go c.resize(o.TerminalSizeQueue)
	}
	return c.read(o)
}

// dial connects to the API server, and to nothing else.
func (m *Manager) dial(ctx context.Context, at url.URL) (*websocket.Conn, error) {
	config, err := rest.TLSConfigFor(m.cfg.REST)
	if err != nil {
		return nil, err
	}
	at.Scheme = strings.Replace(at.Scheme, "http", "ws", 1)
	header := http.Header{}
	if token := m.cfg.REST.BearerToken; token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	var left atomic.Int64
	left.Store(mostHandshake)
	d := websocket.Dialer{
		TLSClientConfig: config, HandshakeTimeout: dialing, Subprotocols: []string{channelProtocol}, ReadBufferSize: 32 << 10, WriteBufferSize: 32 << 10,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: dialing}).DialContext(ctx, network, address)
			return &beginning{c, &left}, err
		},
	}
	conn, resp, err := d.DialContext(ctx, at.String(), header)
	left.Store(-1)
	switch {
	case err != nil && resp != nil:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("a stream to the workbench: %s: %s", resp.Status, text)
	case err != nil:
		return nil, fmt.Errorf("a stream to the workbench: %w", err)
	case conn.Subprotocol() != channelProtocol:
		return nil, errors.Join(errStream, conn.Close())
	}
	return conn, nil
}

// beginning bounds what is read of a connection until left is below zero.
type beginning struct {
	net.Conn
	left *atomic.Int64
}

func (b *beginning) Read(p []byte) (int, error) {
	left := b.left.Load()
	if left < 0 {
		return b.Conn.Read(p)
	}
	if left == 0 {
		return 0, errStream
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), left)])
	b.left.CompareAndSwap(left, left-int64(n))
	return n, err
}

// read takes frames until the command has ended.
func (c *channels) read(o remotecommand.StreamOptions) error {
	alive := func() error { return c.conn.SetReadDeadline(time.Now().Add(silent)) }
	c.conn.SetPongHandler(func(string) error { return alive() })
	var status []byte
	for {
		if err := alive(); err != nil {
			return err
		}
		kind, frame, err := c.conn.NextReader()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return nil
		}
		if err != nil {
			return err
		}
		var channel [1]byte
		if _, err := io.ReadFull(frame, channel[:]); err != nil || kind != websocket.BinaryMessage {
			return errStream
		}
		switch to := channel[0]; {
		case to == channelOut && o.Stdout != nil:
			_, err = io.Copy(o.Stdout, frame)
		case to == channelErr && o.Stderr != nil:
			_, err = io.Copy(o.Stderr, frame)
		case to == channelClose, to == channelOut, to == channelErr: // of the command's streams
			_, err = io.Copy(io.Discard, frame)
		case to == channelStatus:
			part, err := io.ReadAll(io.LimitReader(frame, mostStatus))
			if status = append(status, part...); err != nil || len(status) >= mostStatus {
				return errors.Join(errStream, err)
			}
			var s metav1.Status
			if json.Unmarshal(status, &s) == nil {
				return ended(s)
			}
		default:
			return errStream
		}
		if err != nil {
			return err
		}
	}
}

// ended returns how the command has ended.
func ended(s metav1.Status) error {
	if s.Status == metav1.StatusSuccess {
		return nil
	}
	return fmt.Errorf("the command of the workbench has ended: %.300s", s.Message)
}

func (c *channels) send(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.conn.WriteMessage(websocket.BinaryMessage, b)
}

// feed sends what is typed, and then its end.
func (c *channels) feed(in io.Reader) {
	buffer := make([]byte, 32<<10)
	buffer[0] = channelIn
	for {
		n, err := in.Read(buffer[1:])
		if n > 0 && c.send(buffer[:n+1]) != nil {
			return
		}
		if err != nil {
			_ = c.send([]byte{channelClose, channelIn})
			return
		}
	}
}

func (c *channels) resize(sizes remotecommand.TerminalSizeQueue) {
	for size := sizes.Next(); size != nil; size = sizes.Next() {
		b, err := json.Marshal(size)
		if err != nil || c.send(append([]byte{channelResize}, b...)) != nil {
			return
		}
	}
}

// ping finds out whether the other end is there.
func (c *channels) ping(ctx context.Context) {
	tick := time.NewTicker(pinging)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(dialing)) != nil {
				return
			}
		}
	}
}
