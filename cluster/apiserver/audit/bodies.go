package audit

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/apiserver/negotiate"
)

// maxAuditObject is the largest object in an event, in bytes as it was sent. A larger
// one is left out.
const maxAuditObject = 1536 << 10

// capture keeps a copy of a body, if it is not too large.
type capture struct {
	bytes.Buffer
	tooLarge bool
}

func (c *capture) Write(p []byte) (int, error) {
	if c.tooLarge || c.Len()+len(p) > maxAuditObject {
		c.tooLarge = true
		c.Buffer = bytes.Buffer{}
		return len(p), nil
	}
	return c.Buffer.Write(p)
}

type capturedBody struct {
	io.Reader
	io.Closer
}

// captureBodies keeps the bodies that the level has of a request to a resource.
func (a *Trail) captureBodies(r *http.Request) {
	if !a.info.IsResource {
		return
	}
	if a.policy.Records(LevelRequest) && r.Body != nil && a.info.Mutates() {
		a.sent = &capture{}
		r.Body = capturedBody{io.TeeReader(r.Body, a.sent), r.Body}
	}
	if a.policy.Records(LevelRequestResponse) {
		a.answered = &capture{}
		a.w.CopyTo = a.answered
		r.Header.Del("Accept-Encoding") // the log has it uncompressed
	}
}

// bodyOf returns a body as JSON, nil if there is none or if it is no object of the API.
func (a *Trail) bodyOf(c *capture, contentType string) json.RawMessage {
	if c == nil || c.Len() == 0 && !c.tooLarge {
		return nil
	}
	if c.tooLarge {
		a.annotate("audit.k8s.io/truncated", "true")
		return nil
	}
	out, err := asJSON(c.Bytes(), contentType)
	if err == nil && a.policy.OmitManagedFields {
		out, err = withoutManagedFields(out)
	}
	if err != nil {
		return nil
	}
	return out
}

func asJSON(body []byte, contentType string) ([]byte, error) {
	mediaType, _, _ := mime.ParseMediaType(contentType) // JSON, if there is none
	switch mediaType {
	case "application/yaml", "application/apply-patch+yaml":
		return yaml.YAMLToJSON(body)
	case runtime.ContentTypeProtobuf:
		obj, gvk, err := negotiate.ProtobufSerializer.Decode(body, nil, nil)
		if err != nil {
			return nil, err
		}
		obj.GetObjectKind().SetGroupVersionKind(*gvk)
		return runtime.Encode(negotiate.LenientJSON, obj)
	}
	var out bytes.Buffer
	err := json.Compact(&out, body)
	return out.Bytes(), err
}

// withoutManagedFields returns a body without the managed fields of an object, of the items of a list and
// of the rows of a table.
func withoutManagedFields(body []byte) ([]byte, error) {
	if !bytes.Contains(body, []byte(`"managedFields"`)) {
		return body, nil
	}
	var doc any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&doc); err != nil {
		return nil, err
	}
	dropManagedFields(doc)
	if object, ok := doc.(map[string]any); ok {
		for _, list := range []string{"items", "rows"} {
			items, _ := object[list].([]any)
			for _, item := range items {
				dropManagedFields(item)
				if row, ok := item.(map[string]any); ok {
					dropManagedFields(row["object"])
				}
			}
		}
	}
	return json.Marshal(doc)
}

func dropManagedFields(v any) {
	if object, ok := v.(map[string]any); ok {
		if meta, ok := object["metadata"].(map[string]any); ok {
			delete(meta, "managedFields")
		}
	}
}
