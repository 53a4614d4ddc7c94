// Package negotiate chooses the media type and form of an answer by the Accept header, and
// encodes objects in them.
//
// It has no state and writes no answers. The encodings that the store keeps are
// the callers' to use, where Media.Stored allows. What an encoding may cost is counted
// by the callers, with Measure.
package negotiate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"sort"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/store"
)

// Media is a media type of bodies.
type Media struct {
	ContentType string
	StreamType  string // of watches; "" when there are none in it
	Stored      bool   // the store keeps objects encoded in it, as Store
	Store       store.MediaType
}

// The media types that the server speaks.
var (
	JSON     = &Media{ContentType: "application/json", StreamType: "application/json", Stored: true, Store: store.JSON}
	YAML     = &Media{ContentType: "application/yaml"}
	Protobuf = &Media{ContentType: runtime.ContentTypeProtobuf, StreamType: runtime.ContentTypeProtobuf + ";stream=watch", Stored: true, Store: store.Protobuf}
)

// Accepted is what an answer 406 or 415 offers.
const Accepted = "application/json, application/yaml, " + runtime.ContentTypeProtobuf

// Form is what an object is turned into before it is encoded.
type Form int

// The forms: the object itself, a row or rows about it, its metadata.
const (
	Object Form = iota
	Table
	PartialObjectMetadata // or a list of them
)

// Output is how an answer is encoded.
type Output struct {
	Media   *Media
	Form    Form
	Version string // of meta.k8s.io, for the forms other than the object itself
	List    bool   // the metadata of a list is asked for, not of one object
}

// Forms are those which a handler can give beside the object; without any, `as=` is refused.
// NoProtobuf leaves out protobuf of the object itself; Streams says that the route also has watches.
type Forms struct{ Table, Partial, NoProtobuf, Streams bool }

// None and all of the forms; those of a list or watch.
var (
	NoForms   = Forms{}
	AllForms  = Forms{Table: true, Partial: true}
	ListForms = Forms{Table: true, Partial: true, Streams: true}
)

// Clause is one alternative of an Accept header.
type Clause struct {
	MediaType string
	Params    map[string]string
	quality   float64
}

// Response returns the output of the first clause of the Accept header, by quality and then
// by order, that the handler can serve; else a 406.
func Response(req *http.Request, can Forms) (Output, error) {
	accept := req.Header.Get("Accept")
	switch accept { // what nearly all requests ask for
	case "", "*/*", "application/json":
		return Output{Media: JSON}, nil
	case "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json":
		if !can.NoProtobuf {
			return Output{Media: Protobuf}, nil
		}
	}
	known := false
	for _, c := range ParseAccept(strings.Join(req.Header.Values("Accept"), ",")) {
		a, ok := c.serve(can)
		if ok {
			return a, nil
		}
		known = known || a.Media != nil
	}
	switch {
	case known:
		return Output{}, apistatus.NotAcceptable(Accepted)
	case can.Streams:
		return Output{}, apistatus.NoRepresentation(Accepted + ", " + JSON.ContentType + ";stream=watch, " + Protobuf.StreamType)
	}
	return Output{}, apistatus.NoRepresentation(Accepted)
}

func (c Clause) serve(can Forms) (Output, bool) {
	a := Output{}
	switch c.MediaType {
	case "application/json", "*/*", "application/*":
		a.Media = JSON
	case "application/yaml":
		a.Media = YAML
	case runtime.ContentTypeProtobuf:
		a.Media = Protobuf
	default:
		return a, false
	}
	as := c.Params["as"]
	if as == "" {
		return a, a.Media != Protobuf || !can.NoProtobuf
	}
	a.Version = c.Params["v"]
	if c.Params["g"] != metav1.GroupName || (a.Version != "v1" && a.Version != "v1beta1") {
		return a, false
	}
	switch {
	case as == "Table" && can.Table && a.Media != Protobuf:
		a.Form = Table
	case (as == "PartialObjectMetadata" || as == "PartialObjectMetadataList") && can.Partial:
		a.Form, a.List = PartialObjectMetadata, as == "PartialObjectMetadataList"
	default:
		return a, false
	}
	return a, true
}

// ParseAccept returns the clauses of an Accept header by quality. It leaves out those that
// cannot be parsed or are not accepted (q=0).
func ParseAccept(header string) []Clause {
	var clauses []Clause
	for text := range strings.SplitSeq(header, ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(text))
		if err != nil {
			continue
		}
		c := Clause{MediaType: mediaType, Params: params, quality: 1}
		if q, ok := params["q"]; ok {
			if c.quality, err = strconv.ParseFloat(q, 64); err != nil || c.quality <= 0 {
				continue
			}
		}
		clauses = append(clauses, c)
	}
	sort.SliceStable(clauses, func(i, j int) bool { return clauses[i].quality > clauses[j].quality })
	return clauses
}

// IsPretty reports whether the answer is to be indented: the query requests it, or the user
// agent is a program that shows the answer to a person.
func IsPretty(req *http.Request) bool {
	if strings.Contains(req.URL.RawQuery, "pretty") {
		if v := req.URL.Query().Get("pretty"); v != "" {
			return v != "0" && v != "false"
		}
	}
	agent := req.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

// Encode encodes an object that is not in the store. It sets the kind and version of obj,
// which must not be shared.
func Encode(obj runtime.Object, gvk schema.GroupVersionKind, m *Media, pretty bool) ([]byte, error) {
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	if m == Protobuf {
		var buf bytes.Buffer
		if err := ProtobufSerializer.Encode(obj, &buf); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", gvk.Kind, err)
		}
		return buf.Bytes(), nil
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", gvk.Kind, err)
	}
	return Transcode(data, m, pretty)
}

// The serializers of the built-in kinds.
var (
	ProtobufSerializer = protobuf.NewSerializer(api.Scheme, api.Scheme)
	StrictJSON         = k8sjson.NewSerializerWithOptions(k8sjson.DefaultMetaFactory, api.Scheme, api.Scheme, k8sjson.SerializerOptions{Strict: true})
	LenientJSON        = k8sjson.NewSerializerWithOptions(k8sjson.DefaultMetaFactory, api.Scheme, api.Scheme, k8sjson.SerializerOptions{})
)

// BodyType returns the media type of the body of a request, without parameters.
func BodyType(req *http.Request) string {
	header := req.Header.Get("Content-Type")
	if header == "" || !strings.ContainsAny(header, "; ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return header
	}
	mediaType, _, err := mime.ParseMediaType(header)
	if err != nil {
		return header
	}
	return mediaType
}
