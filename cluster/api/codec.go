package api

// Codec encodes the objects of a kind that has no Go type with protobuf.
type Codec interface {
	// Encode returns what the store keeps of an object, as JSON.
	Encode(obj Object) ([]byte, error)
	// Decode reads JSON that a client sent or that the store has. It names the fields that
	// are set twice or that the kind does not have; the latter are dropped.
	Decode(data []byte) (obj Object, unknown []error, err error)
}
