package apiserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

func (r *request) get() error {
	item, err := r.stored()
	if err != nil {
		if apierrors.IsNotFound(err) && r.asksJournal() {
			return r.writeRefused(err)
		}
		return err
	}
	if r.asksJournal() {
		return r.writeJournal(item.Object())
	}
	return r.writeItem(http.StatusOK, item)
}

// stored returns the object that the path names, at the resourceVersion of the query.
func (r *request) stored() (*store.Item, error) {
	version := ""
	if r.URL.RawQuery != "" {
		version = r.URL.Query().Get("resourceVersion")
	}
	return r.res.collection.Get(r.Context(), r.Namespace, r.Name, version)
}

var listWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(io.Discard, 64<<10) }}

func (r *request) list() error {
	o, keep, err := r.selection(false, r.Name)
	if err != nil {
		return err
	}
	a, err := r.output(r.listForms())
	if err != nil {
		return err
	}
	page, err := r.res.collection.List(r.Context(), r.Namespace, store.ListOptions{
		ResourceVersion: o.ResourceVersion, Match: o.ResourceVersionMatch,
		Limit: o.Limit, Continue: o.Continue, Keep: keep,
	})
	if err != nil {
		return err
	}
	if r.res.Stored != nil { // nothing of it is encoded yet
		if err := r.mayRenderItems(page.Items, wholeSize); err != nil {
			return err
		}
	}
	return r.writeList(a, page)
}

func (r *responder) writeList(a negotiate.Output, page *store.Page) error {
	list := metav1.ListMeta{
		ResourceVersion:    strconv.FormatInt(page.Revision, 10),
		Continue:           page.Continue,
		RemainingItemCount: page.Remaining,
	}
	switch {
	case a.Form == negotiate.Table:
		return r.writeTable(a, list, page.Items)
	case a.Form == negotiate.PartialObjectMetadata:
		return r.writePartials(a, list, page.Items)
	case a.Media == negotiate.Protobuf:
		return r.writeProtobufList(list, page.Items)
	case a.Media == negotiate.YAML || negotiate.IsPretty(r.Request):
		var buf bytes.Buffer
		l, err := r.res.jsonList(r.Context(), list, page.Items)
		if err != nil {
			return err
		}
		if err := r.w.Reserve(l.size); err != nil {
			return err
		}
		if err := l.write(&buf); err != nil {
			return err
		}
		text, err := r.transcode(buf.Bytes(), a.Media, true)
		if err != nil {
			return err
		}
		return r.writeBody(http.StatusOK, a.Media.ContentType, text)
	}
	l, err := r.res.jsonList(r.Context(), list, page.Items)
	if err != nil {
		return err
	}
	return r.writeSized(http.StatusOK, negotiate.JSON.ContentType, l.size, l.write)
}

// encodedList is a list as the pieces of its encoding: the items are the bytes that
// the store keeps, shared with every other reader.
type encodedList struct {
	size       int
	head, tail []byte
	items      [][]byte
	before     func(buf []byte, i int) []byte // what stands before item i
}

func (l *encodedList) write(w io.Writer) error {
	// Large writes: every write to an HTTP/2 stream costs a frame.
	b := listWriters.Get().(*bufio.Writer)
	defer listWriters.Put(b)
	b.Reset(w)
	_, _ = b.Write(l.head)
	var buf [16]byte
	for i, item := range l.items {
		_, _ = b.Write(l.before(buf[:0], i))
		if _, err := b.Write(item); err != nil {
			return err
		}
	}
	_, _ = b.Write(l.tail)
	return b.Flush()
}

// jsonList leaves out kind and version of the items, as upstream: the list's say it.
func (r *resource) jsonList(ctx context.Context, list metav1.ListMeta, items []*store.Item) (*encodedList, error) {
	meta, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encoding a list: %w", err)
	}
	l := &encodedList{
		head: fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, r.Kind.Kind+"List", r.groupVersion, meta),
		tail: []byte("]}\n"),
		before: func(buf []byte, i int) []byte {
			if i > 0 {
				buf = append(buf, ',')
			}
			return append(buf, '{')
		},
	}
	l.size = len(l.head) + len(l.tail)
	encoded, err := r.encodedAll(ctx, items, negotiate.JSON)
	if err != nil {
		return nil, err
	}
	l.items = encoded
	for i, data := range encoded { // each in the place of its whole encoding
		data = bytes.TrimSuffix(data, []byte("\n"))
		short, ok := bytes.CutPrefix(data, r.jsonPrefix)
		if !ok {
			short = data[1:]
		}
		l.items[i] = short
		l.size += len(short) + 2
	}
	if len(items) > 0 {
		l.size-- // no comma before the first
	}
	return l, nil
}

const (
	tagBytes1 = 1<<3 | 2 // a field of protobuf wire type 2, by its number
	tagBytes2 = 2<<3 | 2
)

var protobufMagic = []byte("k8s\x00")

// writeProtobufList writes runtime.Unknown{TypeMeta, Raw: XList{ListMeta, Items}}, where
// all lists of the API have metadata as field 1 and items as field 2.
func (r *responder) writeProtobufList(list metav1.ListMeta, items []*store.Item) error {
	meta, err := list.Marshal()
	if err != nil {
		return fmt.Errorf("encoding a list: %w", err)
	}
	l := &encodedList{
		tail: []byte{3<<3 | 2, 0, 4<<3 | 2, 0}, // contentEncoding and contentType, both empty
	}
	l.before = func(buf []byte, i int) []byte {
		return binary.AppendUvarint(append(buf, tagBytes2), uint64(len(l.items[i])))
	}
	inner := binary.AppendUvarint([]byte{tagBytes1}, uint64(len(meta)))
	inner = append(inner, meta...)
	size := len(inner)
	encoded, err := r.res.encodedAll(r.Context(), items, negotiate.Protobuf)
	if err != nil {
		return err
	}
	l.items = encoded
	for i, data := range encoded {
		if l.items[i], err = unwrapUnknown(data); err != nil {
			return err
		}
		size += 1 + uvarintLen(len(l.items[i])) + len(l.items[i])
	}
	l.head = appendUnknownHead(nil, r.res.groupVersion, r.res.Kind.Kind+"List", size)
	l.head = append(l.head, inner...)
	l.size = len(l.head) - len(inner) + size + len(l.tail)
	return r.writeSized(http.StatusOK, negotiate.Protobuf.ContentType, l.size, l.write)
}

// appendUnknownHead begins a protobuf answer, up to the object itself of that size.
func appendUnknownHead(buf []byte, apiVersion, kind string, size int) []byte {
	buf = append(buf, protobufMagic...)
	typeMeta := appendBytes(nil, tagBytes1, apiVersion)
	typeMeta = appendBytes(typeMeta, tagBytes2, kind)
	buf = appendBytes(buf, tagBytes1, string(typeMeta))
	return binary.AppendUvarint(append(buf, tagBytes2), uint64(size))
}

func appendBytes(buf []byte, tag byte, s string) []byte {
	return append(binary.AppendUvarint(append(buf, tag), uint64(len(s))), s...)
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// unwrapUnknown is the object inside an encoded runtime.Unknown.
func unwrapUnknown(data []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(data, protobufMagic)
	if !ok {
		return nil, fmt.Errorf("a stored object lacks the protobuf prefix")
	}
	for len(rest) > 0 {
		tag := rest[0]
		n, used := binary.Uvarint(rest[1:])
		if tag&7 != 2 || used <= 0 || uint64(len(rest)-1-used) < n {
			break
		}
		field := rest[1+used : 1+used+int(n)]
		if tag == tagBytes2 {
			return field, nil
		}
		rest = rest[1+used+int(n):]
	}
	return nil, fmt.Errorf("a stored object is damaged: no content in its envelope")
}

func (r *responder) writeTable(a negotiate.Output, list metav1.ListMeta, items []*store.Item) error {
	include, err := includeObject(r.Request)
	if err != nil {
		return err
	}
	if err := r.mayRenderTable(items, include); err != nil {
		return err
	}
	table := r.res.columns.table(list, true)
	withObject := include == metav1.IncludeObject
	if withObject {
		include = metav1.IncludeNone
	}
	if table.Rows, err = r.res.rows(r.Context(), objectsOf(items), include, a.Version); err != nil {
		return err
	}
	if withObject {
		encoded, err := r.res.encodedAll(r.Context(), items, negotiate.JSON)
		if err != nil {
			return err
		}
		for i := range table.Rows {
			table.Rows[i].Object.Raw = encoded[i]
		}
	}
	return r.writeEncoded(http.StatusOK, a, table, metaGVK(a.Version, "Table"))
}

func (r *responder) writePartials(a negotiate.Output, list metav1.ListMeta, items []*store.Item) error {
	if !a.List {
		return apistatus.NotOfThatForm("you requested PartialObjectMetadata, but the requested object is a list (*%sList)", r.res.internalType())
	}
	if err := r.mayRenderItems(items, metadataSize); err != nil {
		return err
	}
	l := &metav1.PartialObjectMetadataList{ListMeta: list, Items: make([]metav1.PartialObjectMetadata, len(items))}
	for i, item := range items {
		if i%checkEvery == 0 && r.Context().Err() != nil {
			return r.Context().Err()
		}
		l.Items[i] = *partial(item.Object())
		l.Items[i].APIVersion, l.Items[i].Kind = metav1.GroupName+"/"+a.Version, "PartialObjectMetadata"
	}
	return r.writeEncoded(http.StatusOK, a, l, metaGVK(a.Version, "PartialObjectMetadataList"))
}

func metaGVK(version, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: metav1.GroupName, Version: version, Kind: kind}
}
