package store

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// A value in etcd is, as Kubernetes has it, four bytes of magic and then the message
// runtime.Unknown, which names the kind and holds the object's own message (its body)
// without resourceVersion: that is the key's mod_revision. What a client gets in
// protobuf is the same with the resourceVersion appended to the body as a second
// metadata field, which every protobuf reader merges into the first.

var magic = []byte("k8s\x00")

const (
	unknownTypeMeta = 1 // fields of runtime.Unknown
	unknownRaw      = 2
	metadataField   = 1 // of every kind
	versionField    = 6 // of ObjectMeta
	watchType       = 1 // fields of metav1.WatchEvent
	watchObject     = 2
	rawExtensionRaw = 1
)

// unknownTail is an empty contentEncoding and an empty contentType, which the
// generated code of runtime.Unknown always writes.
var unknownTail = []byte{0x1a, 0x00, 0x22, 0x00}

type message interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// encodeBody returns what is stored for an object, without its resourceVersion: the
// message, or what the kind's Codec makes of it.
func encodeBody(k *api.Kind, obj api.Object) (body []byte, err error) {
	version := obj.GetResourceVersion()
	obj.SetResourceVersion("")
	defer obj.SetResourceVersion(version)
	switch m, ok := obj.(message); {
	case k.Codec != nil:
		body, err = k.Codec.Encode(obj)
	case ok:
		body, err = m.Marshal()
	default:
		err = errors.New("it has no protobuf encoding")
	}
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", obj, err)
	}
	return body, nil
}

// decodeBody returns the object of a stored body.
func decodeBody(k *api.Kind, body []byte, rev int64) (obj api.Object, err error) {
	obj = k.New()
	switch m, ok := obj.(message); {
	case k.Codec != nil:
		_, err = k.Codec.Decode(body, obj)
	case ok:
		err = m.Unmarshal(body)
	default:
		err = fmt.Errorf("%T has no protobuf encoding", obj)
	}
	if err != nil {
		return nil, err
	}
	if k.Restore != nil {
		k.Restore(obj)
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	obj.SetResourceVersion(strconv.FormatInt(rev, 10))
	return obj, nil
}

// format is how the objects of a kind are stored.
type format struct {
	kind *api.Kind
	// head is what precedes the length of the body in every value of the kind; nil for a
	// kind with a Codec, whose values are what that returns.
	head []byte
}

func newFormat(k *api.Kind) (*format, error) {
	if k.Codec != nil {
		return &format{kind: k}, nil
	}
	version, kind := k.ToAPIVersionAndKind()
	typeMeta, err := (&runtime.TypeMeta{APIVersion: version, Kind: kind}).Marshal()
	if err != nil {
		return nil, err
	}
	b := bytes.Clone(magic)
	b = protowire.AppendTag(b, unknownTypeMeta, protowire.BytesType)
	b = protowire.AppendBytes(b, typeMeta)
	return &format{kind: k, head: protowire.AppendTag(b, unknownRaw, protowire.BytesType)}, nil
}

// envelope appends a body, and more that belongs to it, to head. It returns where the
// body begins.
func envelope(head, body, more []byte) (value []byte, at int) {
	if head == nil {
		return bytes.Clone(body), 0
	}
	n := len(body) + len(more)
	value = make([]byte, 0, len(head)+protowire.SizeVarint(uint64(n))+n+len(unknownTail))
	value = append(value, head...)
	value = protowire.AppendVarint(value, uint64(n))
	at = len(value)
	value = append(value, body...)
	value = append(value, more...)
	return append(value, unknownTail...), at
}

// versionPatch is the fragment that sets metadata.resourceVersion.
func versionPatch(rev int64) []byte {
	var number [20]byte
	digits := strconv.AppendInt(number[:0], rev, 10)
	b := make([]byte, 0, 4+len(digits))
	b = protowire.AppendTag(b, metadataField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(2+len(digits)))
	b = protowire.AppendTag(b, versionField, protowire.BytesType)
	return protowire.AppendBytes(b, digits)
}

// openValue finds the body in a value of etcd, and refuses what is not of the kind.
func openValue(k *api.Kind, value []byte) (body []byte, err error) {
	if k.Codec != nil {
		return value, nil // decodeBody checks it
	}
	rest, ok := bytes.CutPrefix(value, magic)
	if !ok {
		return nil, errors.New("it does not begin with the mark of an encoded object")
	}
	var typeMeta runtime.TypeMeta
	for len(rest) > 0 {
		field, wire, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		rest = rest[n:]
		if wire != protowire.BytesType {
			return nil, fmt.Errorf("field %d of the envelope has wire type %d", field, wire)
		}
		content, n := protowire.ConsumeBytes(rest)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		rest = rest[n:]
		switch field {
		case unknownTypeMeta:
			if err := typeMeta.Unmarshal(content); err != nil {
				return nil, fmt.Errorf("the kind's name: %w", err)
			}
		case unknownRaw:
			body = content
		}
	}
	version, kind := k.ToAPIVersionAndKind()
	if typeMeta.APIVersion != version || typeMeta.Kind != kind {
		return nil, fmt.Errorf("it holds %s %s, and %s %s belongs there", typeMeta.APIVersion, typeMeta.Kind, version, kind)
	}
	return body, nil
}

// registry is the root of all keys.
const registry = "/registry/"

// directories are the kinds whose keys are not named like their resource, as Kubernetes
// has them (so that its etcd can be read, and etcdctl finds the usual keys).
var directories = map[schema.GroupResource]string{
	{Resource: "services"}:                              "services/specs",
	{Resource: "endpoints"}:                             "services/endpoints",
	{Resource: "nodes"}:                                 "minions",
	{Resource: "replicationcontrollers"}:                "controllers",
	{Group: "networking.k8s.io", Resource: "ingresses"}: "ingress",
}

// keyPrefix is where the objects of a kind are: "/registry/pods/", and below the group
// for a kind that is not built in: "/registry/example.com/widgets/".
func keyPrefix(k *api.Kind) string {
	if k.Custom {
		return registry + k.Group + "/" + k.Plural + "/"
	}
	directory, ok := directories[schema.GroupResource{Group: k.Group, Resource: k.Plural}]
	if !ok {
		directory = k.Plural
	}
	return registry + directory + "/"
}
