package apiserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/apiserver/wsstream"
	"wheelhouse/cluster/store"
)

// batchBytes is how much a watch gathers, when several events wait, before it writes.
const batchBytes = 64 << 10

func (r *request) watch() error {
	o, keep, err := r.selection(true, r.Name)
	if err != nil {
		return err
	}
	f, err := r.newFramer()
	if err != nil {
		return err
	}
	limit := watchLimit(o.TimeoutSeconds)
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	w, err := r.res.collection.Watch(ctx, r.Namespace, store.WatchOptions{
		ResourceVersion: o.ResourceVersion, Match: o.ResourceVersionMatch, Keep: keep, Bucket: r.bucket(o.FieldSelector),
		Bookmarks: o.AllowWatchBookmarks, SendInitialEvents: o.SendInitialEvents,
	})
	var first []byte
	switch {
	case err != nil && (apierrors.IsResourceExpired(err) || apierrors.IsGone(err)):
		// As upstream: the watch begins, and its first event is the error.
		if first, err = f.failure(err); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		defer w.Stop()
	}
	r.w.BeginStream(false)
	var out sink = &httpSink{w: r.w}
	if websocket.IsWebSocketUpgrade(r.Request) {
		if out, err = r.upgradeWatch(f.answer.Media); err != nil {
			return nil // the upgrader has answered
		}
	} else {
		r.beginWatch(f.answer.Media.StreamType)
	}
	defer out.close()
	if first != nil {
		_ = out.send(first)
		return nil
	}
	r.stream(ctx, w, f, out)
	return nil
}

// bucket is the division of watchers that a selector falls into: kubelets each watch the
// pods of their node, and an event of one need not be shown to all.
func (r *request) bucket(selector string) string {
	if r.s.Store.Buckets[r.res.Kind] == nil {
		return ""
	}
	parsed, err := fields.ParseSelector(selector)
	if err != nil {
		return ""
	}
	node, _ := parsed.RequiresExactMatch("spec.nodeName")
	return node
}

func (r *request) beginWatch(contentType string) {
	h := r.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache, private")
	r.w.WriteHeader(http.StatusOK)
	r.w.Flush()
}

// watchLimit is how long a watch may go on: as asked, else half an hour to an hour, so
// that clients come back at different times.
func watchLimit(seconds *int64) time.Duration {
	if seconds != nil && *seconds > 0 {
		return time.Duration(*seconds) * time.Second
	}
	return 30*time.Minute + rand.N(30*time.Minute)
}

// sink takes the frames of a watch.
type sink interface {
	send(frames []byte) error
	// batches reports whether several frames may go in one send.
	batches() bool
	close()
}

type httpSink struct{ w *connection.Writer }

func (s *httpSink) batches() bool { return true }
func (s *httpSink) close()        {}
func (s *httpSink) send(frames []byte) error {
	if _, err := s.w.Write(frames); err != nil {
		return err
	}
	s.w.Flush()
	return nil
}

// stream writes events until either side has had enough. One event is written and
// flushed at once; when more wait, they go together.
func (r *request) stream(ctx context.Context, w *store.Watcher, f *framer, out sink) {
	var batch []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.s.stopping:
			return
		case e, ok := <-w.Events():
			if !ok {
				if err := w.Err(); err != nil {
					if frame, err := f.failure(err); err == nil {
						_ = out.send(frame)
					}
				}
				return // too slow, or the store ends: the client resumes
			}
			frame, err := f.frame(e)
			if err != nil {
				r.s.Log.Error("encoding a watch event", "path", r.Path, "err", err)
				return
			}
			if out.batches() && len(w.Events()) > 0 {
				if batch, err = gather(append(batch[:0], frame...), w, f); err != nil {
					r.s.Log.Error("encoding a watch event", "path", r.Path, "err", err)
					return
				}
				frame = batch
			}
			if out.send(frame) != nil {
				return
			}
			if cap(batch) > 4*batchBytes {
				batch = nil
			}
		}
	}
}

// gather adds the events that wait already.
func gather(batch []byte, w *store.Watcher, f *framer) ([]byte, error) {
	for len(batch) < batchBytes {
		select {
		case e, ok := <-w.Events():
			if !ok {
				return batch, nil // the next receive gets it too
			}
			frame, err := f.frame(e)
			if err != nil {
				return nil, err
			}
			batch = append(batch, frame...)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// framer turns events into frames: the store's own, which all watchers share, or ones
// made here for tables and metadata.
type framer struct {
	ctx     context.Context //nolint:containedctx // of the one request whose frames it makes
	res     *resource
	answer  negotiate.Output
	include metav1.IncludeObjectPolicy
	headed  bool // a table's columns were sent
}

func (r *request) newFramer() (*framer, error) {
	a, err := r.output(r.listForms())
	if err != nil {
		return nil, err
	}
	if a.Media.StreamType == "" {
		return nil, apistatus.NotAcceptable("application/json;stream=watch, " + runtime.ContentTypeProtobuf + ";stream=watch")
	}
	include, err := includeObject(r.Request)
	return &framer{ctx: r.Context(), res: r.res, answer: a, include: include}, err
}

func (f *framer) frame(e *store.Event) ([]byte, error) {
	if f.answer.Form == negotiate.Object {
		if f.res.Stored == nil {
			return e.Frame(f.answer.Media.Store)
		}
		data, err := f.res.encoded(f.ctx, e.Item, f.answer.Media)
		if err != nil {
			return nil, err
		}
		return wrapEvent(f.answer.Media, string(e.Type), data)
	}
	obj := e.Item.Object()
	if f.answer.Form == negotiate.PartialObjectMetadata {
		return f.wrap(string(e.Type), partial(obj), "PartialObjectMetadata")
	}
	table := f.res.columns.table(metav1.ListMeta{ResourceVersion: obj.GetResourceVersion()}, !f.headed)
	f.headed = true
	var row metav1.TableRow
	var err error
	if e.Type == apiwatch.Bookmark {
		row, err = f.res.bookmarkRow(obj, f.include, f.answer.Version)
	} else {
		row, err = f.res.row(f.ctx, obj, f.include, f.answer.Version)
	}
	if err != nil {
		return nil, err
	}
	table.Rows = append(table.Rows, row)
	return f.wrap(string(e.Type), table, "Table")
}

func (f *framer) wrap(event string, obj runtime.Object, kind string) ([]byte, error) {
	data, err := negotiate.Encode(obj, metaGVK(f.answer.Version, kind), f.answer.Media, false)
	if err != nil {
		return nil, err
	}
	return wrapEvent(f.answer.Media, event, data)
}

func (f *framer) failure(err error) ([]byte, error) {
	data, err := negotiate.Encode(apistatus.Of(err), apistatus.GVK, f.answer.Media, false)
	if err != nil {
		return nil, err
	}
	return wrapEvent(f.answer.Media, string(apiwatch.Error), data)
}

// wrapEvent returns a frame: a line of JSON, or a metav1.WatchEvent in protobuf with its
// length in four bytes before it.
func wrapEvent(m *negotiate.Media, event string, data []byte) ([]byte, error) {
	if m == negotiate.Protobuf {
		e := metav1.WatchEvent{Type: event, Object: runtime.RawExtension{Raw: data}}
		body, err := e.Marshal()
		if err != nil {
			return nil, fmt.Errorf("encoding a watch event: %w", err)
		}
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...), nil
	}
	var buf bytes.Buffer
	fmt.Fprintf(&buf, `{"type":%q,"object":`, event)
	if err := json.Compact(&buf, data); err != nil {
		return nil, fmt.Errorf("encoding a watch event: %w", err)
	}
	buf.WriteString("}\n")
	return buf.Bytes(), nil
}

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
