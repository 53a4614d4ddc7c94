package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"wheelhouse/cluster/kubelet/cri"
)

// streamSet is which streams a client requests.
type streamSet struct {
	stdin, stdout, stderr, tty bool
}

// parseStreams reads the query, with the kubelet's names and the API server's.
func parseStreams(r *http.Request) (streamSet, error) {
	q := r.URL.Query()
	get := func(names ...string) bool {
		for _, n := range names {
			if v, err := strconv.ParseBool(q.Get(n)); err == nil && v {
				return true
			}
		}
		return false
	}
	w := streamSet{get("input", "stdin"), get("output", "stdout"), get("error", "stderr"), get("tty")}
	w.stderr = w.stderr && !w.tty // a terminal has one output
	if !w.stdin && !w.stdout && !w.stderr {
		return w, badRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	return w, nil
}

// remote is the client's end of an exec or attach.
type remote struct {
	io     cri.IO
	status io.Writer // for the outcome
	exact  bool      // the outcome is a Status object, as since version 4
	resize io.Reader
	close  func()
}

func (s *Server) serveExec(w http.ResponseWriter, r *http.Request) {
	cmd := r.URL.Query()["command"]
	if len(cmd) == 0 {
		failRequest(w, badRequest("you must specify the command to run"))
		return
	}
	s.serveStreams(w, r, func(ctx context.Context, c cri.Container, client cri.IO) (int, error) { //nolint:contextcheck // the request's own
		return s.Streams.Exec(ctx, c.ID, cmd, client)
	})
}

func (s *Server) serveAttach(w http.ResponseWriter, r *http.Request) {
	s.serveStreams(w, r, func(ctx context.Context, c cri.Container, client cri.IO) (int, error) { //nolint:contextcheck // the request's own
		client.TTY = c.TTY
		return 0, s.Streams.Attach(ctx, c.ID, client)
	})
}

// serveStreams connects the client and runs f on the request's container.
func (s *Server) serveStreams(w http.ResponseWriter, r *http.Request, f func(context.Context, cri.Container, cri.IO) (int, error)) {
	want, err := parseStreams(r)
	if err != nil {
		failRequest(w, err)
		return
	}
	c, err := s.running(r)
	if err != nil {
		failRequest(w, err)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx) // the request's ends with the hijack
	defer cancel()
	open := openSPDY
	if wsstream.IsWebSocketRequest(r) {
		open = openWebSocket
	}
	client, err := open(w, r, want, cancel)
	if err != nil {
		s.Log.Debug("open streams", "err", err)
		return
	}
	defer client.close()
	client.io.TTY = want.tty
	if client.resize != nil {
		sizes := make(chan cri.Size, 1)
		client.io.Resize = sizes
		go decodeSizes(ctx, client.resize, sizes)
	}
	code, err := f(ctx, c, client.io)
	writeOutcome(client, code, err)
}

const (
	maxSizeMessage = 4 << 10 // bytes, of the size of a terminal
	maxStreams     = 16      // of a client that needs five
)

// decodeSizes reads the terminal sizes that the client sends.
func decodeSizes(ctx context.Context, from io.Reader, to chan<- cri.Size) {
	limited := &io.LimitedReader{R: from}
	d := json.NewDecoder(limited)
	for {
		var s cri.Size
		limited.N = maxSizeMessage
		if d.Decode(&s) != nil {
			return
		}
		select {
		case to <- s:
		case <-ctx.Done():
			return
		}
	}
}

// writeOutcome sends how the command has terminated.
func writeOutcome(client *remote, code int, err error) {
	status := metav1.Status{Status: metav1.StatusSuccess}
	switch {
	case err != nil:
		status = metav1.Status{
			Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError,
			Message: "error executing command in container: " + err.Error(), Code: http.StatusInternalServerError,
		}
	case code != 0:
		status = metav1.Status{
			Status: metav1.StatusFailure, Reason: remotecommand.NonZeroExitCodeReason,
			Message: fmt.Sprintf("command terminated with non-zero exit code: exit status %d", code),
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{
				Type: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(code),
			}}},
		}
	}
	var text []byte
	if client.exact {
		text, _ = json.Marshal(status) // of plain fields: it cannot fail
	} else if status.Status != metav1.StatusSuccess {
		text = []byte(status.Message)
	}
	if len(text) > 0 {
		_, _ = client.status.Write(text) // fails only if the client is gone
	}
}

// openSPDY answers with SPDY and waits for the client's streams.
func openSPDY(w http.ResponseWriter, r *http.Request, want streamSet, gone func()) (*remote, error) {
	if !httpstream.IsUpgradeRequest(r) {
		http.Error(w, "Upgrade request required", http.StatusBadRequest)
		return nil, errors.New("not an upgrade")
	}
	protocol, err := httpstream.Handshake(r, w, remotecommand.SupportedStreamingProtocols)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return nil, err
	}
	arrived := make(chan httpstream.Stream)
	quit := make(chan struct{})
	var once sync.Once
	var streams atomic.Int32
	conn := spdy.NewResponseUpgrader().UpgradeResponse(lingering(w), r, func(s httpstream.Stream, replied <-chan struct{}) error {
		if streams.Add(1) > maxStreams {
			return errors.New("too many streams")
		}
		go func() {
			<-replied
			select {
			case arrived <- s:
			case <-quit:
			}
		}()
		return nil
	})
	if conn == nil {
		return nil, errors.New("the upgrade has failed")
	}
	stop := func() { once.Do(func() { close(quit); _ = conn.Close() }) }
	out := &remote{exact: protocol == remotecommand.StreamProtocolV4Name, close: stop}
	go func() {
		<-conn.CloseChan()
		gone()
	}()
	missing := map[string]bool{v1.StreamTypeError: true}
	for name, wanted := range map[string]bool{v1.StreamTypeStdin: want.stdin, v1.StreamTypeStdout: want.stdout, v1.StreamTypeStderr: want.stderr} {
		if wanted {
			missing[name] = true
		}
	}
	// Since version 3 the client opens one for the sizes of its terminal.
	if want.tty && protocol != remotecommand.StreamProtocolV1Name && protocol != remotecommand.StreamProtocolV2Name {
		missing[v1.StreamTypeResize] = true
	}
	timeout := time.After(remotecommand.DefaultStreamCreationTimeout)
	for len(missing) > 0 {
		select {
		case s := <-arrived:
			name := s.Headers().Get(v1.StreamType)
			delete(missing, name)
			out.take(name, s)
		case <-conn.CloseChan():
			stop()
			return nil, errors.New("the client is gone")
		case <-timeout:
			stop()
			return nil, errors.New("the client has not opened its streams")
		}
	}
	return out, nil
}

// take connects one of the client's streams.
func (c *remote) take(name string, s httpstream.Stream) {
	switch name {
	case v1.StreamTypeStdin:
		c.io.Stdin = s
	case v1.StreamTypeStdout:
		c.io.Stdout = s
	case v1.StreamTypeStderr:
		c.io.Stderr = s
	case v1.StreamTypeError:
		c.status = s
	case v1.StreamTypeResize:
		c.resize = s
	}
}

// openWebSocket answers with the channel protocols over one web socket.
func openWebSocket(w http.ResponseWriter, r *http.Request, want streamSet, gone func()) (*remote, error) {
	channels := []wsstream.ChannelType{
		channel(want.stdin, wsstream.ReadChannel), channel(want.stdout, wsstream.WriteChannel), channel(want.stderr, wsstream.WriteChannel),
		wsstream.WriteChannel, wsstream.ReadChannel,
	}
	protocols := wsstream.NewDefaultChannelProtocols(channels)
	for _, exact := range []string{remotecommand.StreamProtocolV4Name, remotecommand.StreamProtocolV5Name} {
		protocols[exact] = wsstream.ChannelProtocolConfig{Binary: true, Channels: channels}
	}
	protocols["v4.base64.channel.k8s.io"] = wsstream.ChannelProtocolConfig{Channels: channels}
	conn := wsstream.NewConn(protocols)
	ended := make(chan struct{})
	protocol, streams, err := conn.Open(watchEnd(w, ended), r)
	if err != nil {
		return nil, err
	}
	go func() {
		<-ended
		gone()
	}()
	out := &remote{
		status: streams[remotecommand.StreamErr], resize: streams[remotecommand.StreamResize],
		exact: protocol != "" && protocol != wsstream.ChannelWebSocketProtocol && protocol != wsstream.Base64ChannelWebSocketProtocol,
		close: func() { _ = conn.Close() },
	}
	if want.stdin {
		out.io.Stdin = streams[remotecommand.StreamStdIn]
	}
	if want.stdout {
		out.io.Stdout = streams[remotecommand.StreamStdOut]
	}
	if want.stderr {
		out.io.Stderr = streams[remotecommand.StreamStdErr]
	}
	return out, nil
}

func channel(wanted bool, kind wsstream.ChannelType) wsstream.ChannelType {
	if wanted {
		return kind
	}
	return wsstream.IgnoreChannel
}
