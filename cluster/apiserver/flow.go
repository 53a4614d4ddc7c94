package apiserver

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
)

// acquireSlot counts a request for its user until the client has the answer. The process's
// own components are exempt: they bound themselves, and a rejection would only delay them.
func (s *Server) acquireSlot(r *request) error {
	if r.inProcess {
		return nil
	}
	what := flowcontrol.Requests
	switch {
	case !r.longRunning():
	case r.Verb == "watch":
		what = flowcontrol.Watches
	default:
		what = flowcontrol.Streams
	}
	if !s.flows.AcquireSlot(r.Context(), &r.ticket, &flowcontrol.Request{
		User: r.user.Name, Groups: r.user.Groups, Remote: r.RemoteAddr, Path: r.Path,
		Verb: r.Verb, Group: r.Group, Resource: r.Plural, Namespace: r.Namespace,
	}, what) {
		return apistatus.TooManyRequests()
	}
	return nil
}

// acquireSeats waits for the seats that executing the request occupies.
func (s *Server) acquireSeats(r *request) error {
	ok, err := flowcontrol.AcquireSeats(r.Context(), &r.ticket, r.width())
	if !ok && err == nil {
		err = apistatus.TooManyRequests()
	}
	return err
}

// What keeps a processor, or the disk, busy for long.
const (
	longList = 1000    // objects
	longBody = 1 << 20 // bytes
)

// width returns how many seats a request occupies: more the more objects a list may have, as
// upstream, and the larger a body is.
func (r *request) width() int {
	if r.ticket.Exempt() {
		return 1
	}
	if size, ok := connection.BodySize(r.Request); ok {
		return r.ticket.Width(size, longBody)
	}
	if (r.Verb != "list" && r.Verb != "watch") || r.res == nil || r.res.collection == nil {
		return 1
	}
	objects := r.res.collection.Len()
	if objects > longList/10 && strings.Contains(r.URL.RawQuery, "limit=") {
		if limit, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && limit > 0 {
			objects = min(objects, limit)
		}
	}
	return r.ticket.Width(objects, longList)
}

// finish gives back the seats when the request has been executed, and the rest when the
// client has the answer, which is when ctx, the connection's context for it, ends.
func (r *request) finish(ctx context.Context) {
	r.w.Finish(r.Request)
	if !r.ticket.Exempt() {
		r.ticket.Release()
		context.AfterFunc(ctx, r.ticket.ReleaseSlot)
	}
}

// readsBody reports whether the request's handler takes its body as a whole.
func (r *request) readsBody() bool {
	return r.serve != nil && r.Mutates() && !r.longRunning() && r.Body != nil && r.Body != http.NoBody
}

// closeUnauthenticated closes an HTTP/2 connection with the answer to a request without a
// valid credential, as upstream: a new one costs its client a handshake.
func (r *request) closeUnauthenticated() {
	if r.ProtoMajor == 2 && !strings.EqualFold(r.w.Header().Get("Connection"), "close") {
		r.w.Header().Set("Connection", "close")
	}
}
