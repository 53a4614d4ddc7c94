package apiserver

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
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/store"
)

// media is a format of bodies.
type media struct {
	name        string
	contentType string
	streamType  string // of watches
	stored      bool   // the store keeps objects encoded in it
	store       store.MediaType
}

var (
	mediaJSON     = &media{name: "json", contentType: "application/json", streamType: "application/json", stored: true, store: store.JSON}
	mediaYAML     = &media{name: "yaml", contentType: "application/yaml", streamType: ""}
	mediaProtobuf = &media{name: "protobuf", contentType: runtime.ContentTypeProtobuf, streamType: runtime.ContentTypeProtobuf + ";stream=watch", stored: true, store: store.Protobuf}
)

const (
	acceptedMedia   = "application/json, application/yaml, " + runtime.ContentTypeProtobuf
	acceptedPatches = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
)

// form is what an object is turned into before it is encoded.
type form int

const (
	formObject form = iota
	formTable
	formPartial // PartialObjectMetadata, or a list of them
)

// answer is what was agreed on for an answer.
type answer struct {
	media *media
	form  form
	// version of meta.k8s.io, for the forms other than the object itself
	version string
}

// forms that a handler can give; with formsNone `as=` is not understood.
type forms struct{ table, partial bool }

var (
	formsNone = forms{}
	formsOne  = forms{table: true, partial: true}
)

type clause struct {
	mediaType string
	params    map[string]string
	quality   float64
}

// negotiate picks the first clause of the Accept header, by quality and then by order,
// that can be served.
func negotiate(req *http.Request, can forms) (answer, error) {
	accept := req.Header.Get("Accept")
	switch accept { // what nearly all requests ask for
	case "", "*/*", "application/json":
		return answer{media: mediaJSON}, nil
	case "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json":
		return answer{media: mediaProtobuf}, nil
	}
	for _, c := range parseAccept(strings.Join(req.Header.Values("Accept"), ",")) {
		if a, ok := c.serve(can); ok {
			return a, nil
		}
	}
	return answer{}, apistatus.NotAcceptable(acceptedMedia)
}

func (c clause) serve(can forms) (answer, bool) {
	a := answer{}
	switch c.mediaType {
	case "application/json", "*/*", "application/*":
		a.media = mediaJSON
	case "application/yaml":
		a.media = mediaYAML
	case runtime.ContentTypeProtobuf:
		a.media = mediaProtobuf
	default:
		return a, false
	}
	as := c.params["as"]
	if as == "" {
		return a, true
	}
	a.version = c.params["v"]
	if c.params["g"] != metav1.GroupName || (a.version != "v1" && a.version != "v1beta1") {
		return a, false
	}
	switch {
	case as == "Table" && can.table && a.media != mediaProtobuf:
		a.form = formTable
	case (as == "PartialObjectMetadata" || as == "PartialObjectMetadataList") && can.partial:
		a.form = formPartial
	default:
		return a, false
	}
	return a, true
}

func parseAccept(header string) []clause {
	var clauses []clause
	for text := range strings.SplitSeq(header, ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(text))
		if err != nil {
			continue
		}
		c := clause{mediaType: mediaType, params: params, quality: 1}
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

// isPretty: asked for, or sent by a program that shows the answer to a person.
func isPretty(req *http.Request) bool {
	if strings.Contains(req.URL.RawQuery, "pretty") {
		if v := req.URL.Query().Get("pretty"); v != "" {
			return v != "0" && v != "false"
		}
	}
	agent := req.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

// encodeObject encodes what is not in the store. It sets obj's kind and version: obj
// must not be shared.
func encodeObject(obj runtime.Object, gvk schema.GroupVersionKind, m *media, pretty bool) ([]byte, error) {
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	if m == mediaProtobuf {
		var buf bytes.Buffer
		if err := protobufs.Encode(obj, &buf); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", gvk.Kind, err)
		}
		return buf.Bytes(), nil
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", gvk.Kind, err)
	}
	return dress(data, m, pretty)
}

// dress turns an object's JSON into the text that was asked for.
func dress(data []byte, m *media, pretty bool) ([]byte, error) {
	switch {
	case m == mediaYAML:
		return yaml.JSONToYAML(data)
	case pretty:
		var buf bytes.Buffer
		if err := json.Indent(&buf, data, "", "  "); err != nil {
			return nil, fmt.Errorf("indenting an answer: %w", err)
		}
		buf.WriteByte('\n')
		return buf.Bytes(), nil
	}
	return data, nil
}
