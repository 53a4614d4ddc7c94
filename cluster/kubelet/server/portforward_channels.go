package server

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// The protocols of clients without SPDY: two channels of the web socket for each port, in
// the order of the query, data and error.
const (
	forwardChannels       = "v4.channel.k8s.io"
	forwardBase64Channels = "v4.base64.channel.k8s.io"
)

// serveForwardChannels forwards one connection to each port that the query names.
func (s *Server) serveForwardChannels(w http.ResponseWriter, r *http.Request, f *forwarder) {
	ports, err := forwardPorts(r)
	if err != nil {
		failRequest(w, err)
		return
	}
	channels := make([]wsstream.ChannelType, 0, 2*len(ports))
	for range ports {
		channels = append(channels, wsstream.ReadWriteChannel, wsstream.WriteChannel)
	}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		"":                    {Binary: true, Channels: channels},
		forwardChannels:       {Binary: true, Channels: channels},
		forwardBase64Channels: {Channels: channels},
	})
	conn.SetIdleTimeout(forwardIdle)
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	f.ctx = ctx
	ended := make(chan struct{})
	_, streams, err := conn.Open(watchEnd(w, ended), r)
	if err != nil {
		s.Log.Debug("port-forward", "err", err)
		return
	}
	defer func() { _ = conn.Close() }()
	var all sync.WaitGroup
	for i, port := range ports {
		data, status := streams[2*i], streams[2*i+1]
		if sendPort(data, port) != nil || sendPort(status, port) != nil {
			break // the client has left
		}
		all.Go(func() { f.copy(data, status, int(port)) })
	}
	go func() {
		select {
		case <-ended: // the library does not end readers of the channels
			cancel()
		case <-ctx.Done():
		}
		for _, s := range streams {
			_ = s.Close()
		}
	}()
	all.Wait()
}

// sendPort sends the first message of a channel.
func sendPort(w io.Writer, port uint16) error {
	_, err := w.Write(binary.LittleEndian.AppendUint16(nil, port))
	return err
}

// forwardPorts reads the query's ports, in one value or several.
func forwardPorts(r *http.Request) ([]uint16, error) {
	var ports []uint16
	for _, value := range r.URL.Query()["port"] {
		for text := range strings.SplitSeq(value, ",") {
			port, err := strconv.ParseUint(text, 10, 16)
			if err != nil || port == 0 {
				return nil, badRequest("unable to parse %q as a port", text)
			}
			ports = append(ports, uint16(port))
		}
	}
	if len(ports) == 0 {
		return nil, badRequest(`query parameter "port" is required`)
	}
	return ports, nil
}
