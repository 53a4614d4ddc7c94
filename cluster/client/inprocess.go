package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// InProcess returns a client configuration whose requests call h directly, as u: no
// socket, no TLS, no rate limit, protobuf in both directions. A response that the
// handler flushes (a watch, a log) is streamed; any other is returned whole.
// Cancelling the request's context, or closing the body, cancels the handler's
// context. Upgrades are not supported.
func InProcess(h http.Handler, u *User) *rest.Config {
	c := &rest.Config{Host: "http://in-process", Transport: &inProcess{handler: h, user: u}}
	tune(c)
	return c
}

// tune sets what all components need: protobuf, and no client-side rate limit (the server
// limits load).
func tune(c *rest.Config) {
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.QPS = -1
}

type inProcess struct {
	handler http.Handler
	user    *User
}

// RoundTrip implements http.RoundTripper.
func (t *inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	x := newPipe(ctx, cancel)
	go t.serve(x, t.incoming(ctx, req))
	select { // on the caller's context: ctx is also done when the handler has returned
	case <-x.answered:
	case <-req.Context().Done():
		x.abort(context.Cause(ctx))
		cancel()
		return nil, req.Context().Err()
	}
	return x.response(req)
}

// incoming returns req as a server would have read it from a connection.
func (t *inProcess) incoming(ctx context.Context, req *http.Request) *http.Request {
	in := req.WithContext(WithUser(ctx, t.user))
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Header == nil {
		in.Header = http.Header{}
	}
	return in
}

// serve runs the handler as net/http's server does: a panic ends the request, not the
// process.
func (t *inProcess) serve(x *pipe, in *http.Request) {
	defer in.Body.Close()
	defer func() {
		var err error
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = io.ErrUnexpectedEOF
		default:
			err = fmt.Errorf("handler of %s %s panicked: %v\n%s", in.Method, in.URL.Path, p, debug.Stack())
		}
		x.finish(err)
	}()
	t.handler.ServeHTTP(x, in)
}

// response returns the client's response once there is one.
func (x *pipe) response(req *http.Request) (*http.Response, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.streaming && x.err != nil {
		return nil, x.err
	}
	length := int64(-1)
	if !x.streaming {
		length = int64(len(x.buf))
		if req.Method == http.MethodHead {
			length = declared(x.sent)
		}
	}
	return &http.Response{
		Status:        strconv.Itoa(x.status) + " " + http.StatusText(x.status),
		StatusCode:    x.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        x.sent,
		Body:          (*body)(x),
		ContentLength: length,
		Request:       req,
	}, nil
}

func declared(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

var errBodyClosed = errors.New("the client closed the response")
