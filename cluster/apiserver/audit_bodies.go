package apiserver

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/apiserver/audit"
	"wheelhouse/cluster/apiserver/negotiate"
)

// maxAuditObject is the largest object in an event, in bytes as it was sent. A larger
// one is left out.
const maxAuditObject = 1536 << 10

// capture keeps a copy of a body that passes, if it is not too large.
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

// captureBodies keeps what the level has of a request to a resource.
func (a *auditing) captureBodies() {
	r := a.r
	if !r.IsResource {
		return
	}
	if a.decision.Records(audit.LevelRequest) && r.Body != nil && r.Mutates() {
		a.sent = &capture{}
		r.Body = capturedBody{io.TeeReader(r.Body, a.sent), r.Body}
	}
	if a.decision.Records(audit.LevelRequestResponse) {
		a.answered = &capture{}
		r.w.copyTo = a.answered
		r.Header.Del("Accept-Encoding") // the log has it as it is
	}
}

// bodyOf is a body as JSON, nil if there is none. One that is no object of the API, which
// the answer's status says, is left out.
func (a *auditing) bodyOf(c *capture, contentType string) json.RawMessage {
	if c == nil || c.Len() == 0 && !c.tooLarge {
		return nil
	}
	if c.tooLarge {
		a.note("audit.k8s.io/truncated", "true")
		return nil
	}
	out, err := asJSON(c.Bytes(), contentType)
	if err == nil && a.decision.OmitManagedFields {
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

// withoutManagedFields drops the managed fields of an object, of the items of a list and
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
