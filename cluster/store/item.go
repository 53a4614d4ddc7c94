package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"wheelhouse/cluster/api"
)

// MediaType is one of the encodings that the store keeps with an item.
type MediaType int

// The encodings. Others (YAML, CBOR) are made by the API server from the object.
const (
	JSON MediaType = iota
	Protobuf
)

// Item is one object at one revision, immutable and shared. The encoded bytes are its
// one lasting form; object and JSON are computed from them, and can be released again.
type Item struct {
	format   *format
	key      string
	rev      int64
	encoded  []byte // protobuf as a client gets it, or what the kind's Codec returns
	at, size int    // where in it the stored body is

	object atomic.Pointer[api.Object]
	json   atomic.Pointer[[]byte]
	asked  atomic.Bool // for the JSON since the last sweep
}

// newItem keeps a copy of body, and decodes it once to check it.
func newItem(f *format, key string, rev int64, body []byte) (*Item, error) {
	i := &Item{format: f, key: key, rev: rev, size: len(body)}
	i.encoded, i.at = envelope(f.head, body, versionPatch(rev))
	obj, err := decodeBody(f.kind, i.body(), rev)
	if err != nil {
		return nil, err
	}
	i.object.Store(&obj)
	return i, nil
}

// moved is the same object at another revision.
func (i *Item) moved(rev int64) *Item {
	m := &Item{format: i.format, key: i.key, rev: rev, size: i.size}
	m.encoded, m.at = envelope(i.format.head, i.body(), versionPatch(rev))
	return m
}

// body is the message as etcd has it.
func (i *Item) body() []byte { return i.encoded[i.at : i.at+i.size] }

// Object is the decoded object with its kind and resourceVersion set. Never modify it.
func (i *Item) Object() api.Object {
	if obj := i.object.Load(); obj != nil {
		return *obj
	}
	obj, _ := decodeBody(i.format.kind, i.body(), i.rev) // the same bytes were decoded when the item was made
	if i.object.CompareAndSwap(nil, &obj) {
		return obj
	}
	return i.Object()
}

// Revision is the etcd revision of the write that made the item.
func (i *Item) Revision() int64 { return i.rev }

// Encoded is what a GET in that type answers: JSON with kind and apiVersion first and
// a newline at the end, or protobuf with its envelope. The bytes are shared: never
// modify them.
func (i *Item) Encoded(t MediaType) ([]byte, error) {
	if t == Protobuf {
		if i.format.kind.Codec != nil {
			return nil, fmt.Errorf("%s has no protobuf encoding", i.key)
		}
		return i.encoded, nil
	}
	if !i.asked.Load() {
		i.asked.Store(true)
	}
	if b := i.json.Load(); b != nil {
		return *b, nil
	}
	b, err := encodeJSON(i.Object())
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", i.key, err)
	}
	if !i.json.CompareAndSwap(nil, &b) {
		if other := i.json.Load(); other != nil {
			return *other, nil
		}
	}
	return b, nil
}

// Message is the object's own protobuf message with its resourceVersion and without
// envelope, as the items of a list are.
func (i *Item) Message() []byte { return i.encoded[i.at : len(i.encoded)-len(unknownTail)] }

// Size is the number of bytes of the lasting form.
func (i *Item) Size() int { return len(i.encoded) }

// shed releases what can be computed again.
func (i *Item) shed() {
	i.object.Store(nil)
	i.json.Store(nil)
}

// sweep releases the JSON if no request used it since the previous sweep.
func (i *Item) sweep() {
	if !i.asked.Swap(false) {
		i.json.Store(nil)
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func encodeJSON(obj any) ([]byte, error) {
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	if err := json.NewEncoder(b).Encode(obj); err != nil {
		return nil, err
	}
	return bytes.Clone(b.Bytes()), nil
}
