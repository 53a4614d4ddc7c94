package api

import "slices"

// MediaType is a media type of objects.
type MediaType string

// The media types that objects can have.
const (
	JSON     MediaType = "application/json"
	YAML     MediaType = "application/yaml"
	Protobuf MediaType = "application/vnd.kubernetes.protobuf"
)

// Supports reports whether objects of the kind can be of a media type.
func (k *Kind) Supports(m MediaType) bool { return k.Media == nil || slices.Contains(k.Media, m) }

// Codec encodes the objects of a kind that has no Go type with protobuf.
type Codec interface {
	// Encode returns what the store keeps of an object, as JSON.
	Encode(obj Object) ([]byte, error)
	// Decode reads JSON that a client sent or that the store has. It names the fields that
	// are set twice or that the kind does not have; the latter are dropped.
	Decode(data []byte, into Object) (unknown []error, err error)
}
