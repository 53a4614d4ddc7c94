package apiserver

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/budget"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/negotiate"
)

// readBody reads a whole body, if it is not too large and does not cost too much to decode.
func (r *decoder) readBody() ([]byte, error) {
	body, err := connection.ReadBody(r.Request)
	if err != nil {
		return nil, err
	}
	r.bodySize = len(body)
	switch mediaType := negotiate.BodyType(r.Request); {
	case mediaType == runtime.ContentTypeProtobuf: // it needs the type; see decodeBytes
	case mediaType == string(types.JSONPatchType):
		err = budget.JSONPatch(body)
	case isYAML(mediaType) && !isJSON(body):
		err = budget.YAML(body, apistatus.MaxBody)
	default:
		err = budget.JSON(body)
	}
	if err != nil {
		return nil, apistatus.TooExpensive(err)
	}
	return body, nil
}

func isYAML(mediaType string) bool {
	return mediaType == "application/yaml" || mediaType == string(types.ApplyPatchType)
}

// isJSON is whether a body that is called YAML is JSON, as kubectl's is. To read it as
// YAML would cost ten times as much.
func isJSON(body []byte) bool {
	start := bytes.TrimLeft(body, " \t\r\n")
	return len(start) > 0 && start[0] == '{' && stdjson.Valid(body)
}

// decoderFor returns what decodes a body into an object of gvk.
func (r *decoder) decoderFor(mediaType, validation string, gvk schema.GroupVersionKind) (runtime.Decoder, error) {
	byCodec := r.res.Codec != nil && gvk == r.res.GroupVersionKind
	switch mediaType {
	case "", "application/json", "application/yaml":
		if byCodec {
			return codecDecoder{r.res.Codec, validation != metav1.FieldValidationIgnore}, nil
		}
		if validation != metav1.FieldValidationIgnore {
			return negotiate.StrictJSON, nil
		}
		return negotiate.LenientJSON, nil
	case runtime.ContentTypeProtobuf:
		if !byCodec {
			return negotiate.ProtobufSerializer, nil
		}
	}
	return nil, apistatus.UnsupportedMediaType(r.res.acceptedBodies())
}

// acceptedBodies are the media types of a resource's objects, as an error lists them.
func (r *resource) acceptedBodies() string {
	if r.Supports(api.Protobuf) {
		return negotiate.Accepted
	}
	return "application/json, application/yaml"
}

// codecDecoder decodes by the Codec of a kind.
type codecDecoder struct {
	api.Codec
	strict bool
}

func (d codecDecoder) Decode(data []byte, _ *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	unknown, err := d.Codec.Decode(data, into.(api.Object))
	if err == nil && d.strict && len(unknown) > 0 {
		err = runtime.NewStrictDecodingError(unknown)
	}
	gvk := into.GetObjectKind().GroupVersionKind()
	return into, &gvk, err
}

// decode reads the body of r into `into`, which is of kind gvk. What strict decoding
// finds is an error, a warning, or nothing, according to fieldValidation.
func (r *decoder) decode(into runtime.Object, gvk schema.GroupVersionKind, validation string) error {
	body, err := r.readBody()
	if err != nil {
		return err
	}
	return r.decodeBytes(body, negotiate.BodyType(r.Request), into, gvk, validation)
}

func (r *decoder) decodeBytes(body []byte, mediaType string, into runtime.Object, gvk schema.GroupVersionKind, validation string) error {
	actual, err := r.decodeText(body, mediaType, into, gvk, validation)
	if status := apierrors.APIStatus(nil); err != nil && !errors.As(err, &status) {
		return errUndecodable(err, gvk, actual, body)
	}
	return err
}

// decodeText is decodeBytes whose error is the decoder's own, when it could not read the body; actual is then the
// kind that the body says, nil if that could not be read either.
func (r *decoder) decodeText(body []byte, mediaType string, into runtime.Object, gvk schema.GroupVersionKind, validation string) (actual *schema.GroupVersionKind, err error) {
	decoder, err := r.decoderFor(mediaType, validation, gvk)
	if err != nil {
		return nil, err
	}
	text, duplicates, err := r.decodable(body, mediaType, validation)
	if err != nil {
		return nil, err
	}
	if mediaType == runtime.ContentTypeProtobuf {
		if err := budget.Protobuf(body, into); err != nil {
			return nil, apistatus.TooExpensive(err)
		}
	}
	if err := api.CheckQuantities(text, mediaType != runtime.ContentTypeProtobuf, into); err != nil {
		return &gvk, err
	}
	var obj runtime.Object
	obj, actual, err = decoder.Decode(text, &gvk, into)
	err = withDuplicates(duplicates, err)
	if strict, ok := runtime.AsStrictDecodingError(err); ok && obj != nil && validation != metav1.FieldValidationStrict {
		for _, e := range strict.Errors() {
			r.w.Warn(e.Error())
		}
		err = nil
	}
	if err != nil {
		return actual, err
	}
	if actual.Kind != gvk.Kind {
		return actual, apistatus.BadRequest("%s in version %q cannot be handled as a %s: converting (%s.%s) to (%s): unknown conversion",
			actual.Kind, actual.Version, gvk.Kind, actual.Version, actual.Kind, r.res.internalType())
	}
	if actual.GroupVersion() != gvk.GroupVersion() {
		return actual, apistatus.BadRequest("the API version in the data (%s) does not match the expected API version (%s)", actual.GroupVersion(), gvk.GroupVersion())
	}
	if obj != into {
		return actual, apistatus.BadRequest("%s in version %q cannot be handled as a %s", actual.Kind, actual.Version, gvk.Kind)
	}
	return actual, checkManagedFields(into)
}

// checkManagedFields validates the managedFields that a client sends.
func checkManagedFields(obj runtime.Object) error {
	if m, ok := obj.(metav1.Object); ok && len(m.GetManagedFields()) > 0 {
		if err := budget.ManagedFields(m.GetManagedFields()); err != nil {
			return apistatus.TooExpensive(err)
		}
	}
	return nil
}

// decodable is a body in the form that its decoder takes: YAML becomes JSON, once. The
// fields that it has twice, of which JSON has the last, are named unless validation is not
// wanted.
func (r *decoder) decodable(body []byte, mediaType, validation string) (text []byte, duplicates, err error) {
	text = body
	if mediaType == "application/yaml" && !isJSON(body) {
		strict := validation != metav1.FieldValidationIgnore
		if strict {
			text, duplicates = yaml.YAMLToJSONStrict(body)
		}
		if !strict || duplicates != nil {
			if text, err = yaml.YAMLToJSON(body); err != nil {
				return nil, nil, err
			}
		}
	}
	if mediaType == runtime.ContentTypeProtobuf {
		return text, nil, nil
	}
	return r.respell(text), duplicates, nil
}

// withDuplicates adds them to what strict decoding has found.
func withDuplicates(duplicates, err error) error {
	if duplicates == nil {
		return err
	}
	var found []error
	for line := range strings.SplitSeq(duplicates.Error(), "\n") {
		if _, text, ok := strings.Cut(line, "line "); ok {
			found = append(found, errors.New("line "+text))
		}
	}
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		found = append(found, strict.Errors()...)
	} else if err != nil {
		return err
	}
	return runtime.NewStrictDecodingError(found)
}

// respell returns a JSON body in which fields with old names have today's: decoding would
// lose them. A body that it cannot parse is returned as it is, for the decoder to refuse.
func (r *decoder) respell(body []byte) []byte {
	if len(r.res.OldSpelling) == 0 {
		return body
	}
	if out, changed := r.res.Respell(body); changed {
		return out
	}
	return body
}

func errUndecodable(err error, want schema.GroupVersionKind, actual *schema.GroupVersionKind, body []byte) error {
	if actual != nil && actual.Kind != "" {
		return apistatus.BadRequest("%s in version %q cannot be handled as a %s: %v", actual.Kind, actual.Version, want.Kind, err)
	}
	return apistatus.BadRequest("the object provided is unrecognized (must be of type %s): %v (%s)", want.Kind, err, summary(body))
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

// addWarnings warns of fields that are unwise in an object which is accepted as it is. The
// components of this process print no warnings.
func (r *decoder) addWarnings(obj api.Object) {
	if r.res.Storage().Warn == nil || r.inProcess {
		return
	}
	for _, text := range r.res.Storage().Warn(obj) {
		r.w.Warn(text)
	}
}
