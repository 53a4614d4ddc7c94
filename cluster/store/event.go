package store

import (
	"encoding/binary"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/watch"
)

// Event is one change, or a bookmark. Events are shared by all watchers.
type Event struct {
	Type watch.EventType
	// Item is the new state; of a Deleted event the last state with the revision of
	// the deletion; of a Bookmark an empty object with only the resourceVersion (and
	// the mark of the end of the initial events).
	Item *Item
	// Prev is the state before, nil for what is new.
	Prev     *Item
	Revision int64

	frames [2]atomic.Pointer[[]byte]
	// What the event is to a watcher whose selector begins or ceases to match. Made by
	// the first watcher that needs it, under the collection's lock.
	entered, left *Event
}

// Frame is the whole watch frame: a line of JSON, or a metav1.WatchEvent behind four
// bytes of length. The bytes are shared: never modify them.
func (e *Event) Frame(t MediaType) ([]byte, error) {
	if b := e.frames[t].Load(); b != nil {
		return *b, nil
	}
	object, err := e.Item.Encoded(t)
	if err != nil {
		return nil, err
	}
	var b []byte
	if t == JSON {
		b = jsonFrame(e.Type, object)
	} else {
		b = protobufFrame(e.Type, object)
	}
	e.frames[t].Store(&b)
	return b, nil
}

func jsonFrame(t watch.EventType, object []byte) []byte {
	const before, between, after = `{"type":"`, `","object":`, "}\n"
	object = object[:len(object)-1] // its newline
	b := make([]byte, 0, len(before)+len(t)+len(between)+len(object)+len(after))
	b = append(b, before...)
	b = append(b, t...)
	b = append(b, between...)
	b = append(b, object...)
	return append(b, after...)
}

func protobufFrame(t watch.EventType, object []byte) []byte {
	raw := protowire.SizeTag(rawExtensionRaw) + protowire.SizeBytes(len(object))
	size := protowire.SizeTag(watchType) + protowire.SizeBytes(len(t)) + protowire.SizeTag(watchObject) + protowire.SizeBytes(raw)
	b := make([]byte, 0, 4+size)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = protowire.AppendTag(b, watchType, protowire.BytesType)
	b = protowire.AppendString(b, string(t))
	b = protowire.AppendTag(b, watchObject, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(raw))
	b = protowire.AppendTag(b, rawExtensionRaw, protowire.BytesType)
	return protowire.AppendBytes(b, object)
}

// shed releases the encodings, and what no new watcher needs.
func (e *Event) shed() {
	e.frames[JSON].Store(nil)
	e.frames[Protobuf].Store(nil)
	e.entered, e.left = nil, nil
	if e.Prev != nil {
		e.Prev.shed()
	}
	if e.Type == watch.Deleted {
		e.Item.shed()
	}
}
