package apiserver

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api"
)

// maxBody is the largest body of a request, in bytes; etcd takes no more anyway.
const maxBody = 3 << 20

var (
	protobufs   = protobuf.NewSerializer(api.Scheme, api.Scheme)
	jsonStrict  = json.NewSerializerWithOptions(json.DefaultMetaFactory, api.Scheme, api.Scheme, json.SerializerOptions{Strict: true})
	jsonLenient = json.NewSerializerWithOptions(json.DefaultMetaFactory, api.Scheme, api.Scheme, json.SerializerOptions{})
	yamlStrict  = json.NewSerializerWithOptions(json.DefaultMetaFactory, api.Scheme, api.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	yamlLenient = json.NewSerializerWithOptions(json.DefaultMetaFactory, api.Scheme, api.Scheme, json.SerializerOptions{Yaml: true})
)

// readBody reads a whole body, if it is not too large.
func readBody(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	if req.ContentLength > maxBody {
		return nil, errTooLarge()
	}
	var body []byte
	var err error
	if n := req.ContentLength; n > 0 {
		body = make([]byte, n)
		_, err = io.ReadFull(req.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(req.Body, maxBody+1))
	}
	if err != nil {
		return nil, badRequest("reading the body of the request: %v", err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge()
	}
	return body, nil
}

// bodyMedia is the media type of a request's body, without its parameters.
func bodyMedia(req *http.Request) string {
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

func decoderFor(mediaType, validation string) (runtime.Decoder, error) {
	strict := validation != metav1.FieldValidationIgnore
	switch mediaType {
	case "", "application/json":
		if strict {
			return jsonStrict, nil
		}
		return jsonLenient, nil
	case "application/yaml":
		if strict {
			return yamlStrict, nil
		}
		return yamlLenient, nil
	case runtime.ContentTypeProtobuf:
		return protobufs, nil
	}
	return nil, errMediaType(acceptedMedia)
}

// decode reads the body of r into `into`, which is of kind gvk. What strict decoding
// finds is an error, a warning, or nothing, as fieldValidation says.
func (r *request) decode(into runtime.Object, gvk schema.GroupVersionKind, validation string) error {
	body, err := readBody(r.Request)
	if err != nil {
		return err
	}
	return r.decodeBytes(body, bodyMedia(r.Request), into, gvk, validation)
}

func (r *request) decodeBytes(body []byte, mediaType string, into runtime.Object, gvk schema.GroupVersionKind, validation string) error {
	decoder, err := decoderFor(mediaType, validation)
	if err != nil {
		return err
	}
	body = r.respell(body, mediaType)
	obj, actual, err := decoder.Decode(body, &gvk, into)
	if strict, ok := runtime.AsStrictDecodingError(err); ok && obj != nil && validation != metav1.FieldValidationStrict {
		for _, e := range strict.Errors() {
			r.warn(e.Error())
		}
		err = nil
	}
	if err != nil {
		return errUndecodable(err, gvk, actual, body)
	}
	if actual.GroupVersion() != gvk.GroupVersion() {
		return badRequest("the API version in the data (%s) does not match the expected API version (%s)", actual.GroupVersion(), gvk.GroupVersion())
	}
	if obj != into {
		return badRequest("%s in version %q cannot be handled as a %s", actual.Kind, actual.Version, gvk.Kind)
	}
	return nil
}

// respell gives a body today's names for the fields that the kind once had under others;
// to decode such a body would drop them. A body that it cannot read is the decoder's.
func (r *request) respell(body []byte, mediaType string) []byte {
	if len(r.res.OldSpelling) == 0 || mediaType == runtime.ContentTypeProtobuf {
		return body
	}
	doc := body
	if mediaType == "application/yaml" {
		var err error
		if doc, err = yaml.YAMLToJSON(body); err != nil {
			return body
		}
	}
	if out, changed := r.res.Respell(doc); changed {
		return out // which is YAML as well
	}
	return body
}

func errUndecodable(err error, want schema.GroupVersionKind, actual *schema.GroupVersionKind, body []byte) error {
	if actual != nil && actual.Kind != "" {
		return badRequest("%s in version %q cannot be handled as a %s: %v", actual.Kind, actual.Version, want.Kind, err)
	}
	return badRequest("the object provided is unrecognized (must be of type %s): %v (%s)", want.Kind, err, summary(body))
}

// summary shows the beginning of a body that could not be read.
func summary(body []byte) string {
	const most = 30
	if len(body) == 0 {
		return "<empty>"
	}
	if body[0] == '{' {
		if len(body) > most {
			return string(body[:most]) + " ..."
		}
		return string(body)
	}
	if len(body) > most {
		return fmt.Sprintf("%x ...", body[:most])
	}
	return fmt.Sprintf("%x", body)
}

// advise warns of what is unwise in an object that is taken as it is. Our own components
// do what they are told, and have nobody to tell it to.
func (r *request) advise(obj api.Object) {
	if r.res.life.Warn == nil || r.inProcess {
		return
	}
	for _, text := range r.res.life.Warn(obj) {
		r.warn(text)
	}
}

// warn adds a warning to the answer, once; kubectl prints them. A write that another one
// came between is judged again.
func (r *request) warn(text string) {
	header, err := utilnet.NewWarningHeader(299, "-", text)
	if err == nil && !slices.Contains(r.w.Header().Values("Warning"), header) {
		r.w.Header().Add("Warning", header)
	}
}
