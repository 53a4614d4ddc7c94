package api

import "encoding/json"

// Respell gives an object's JSON with today's names for the fields that old manifests
// spell otherwise, and whether there were any. The server calls it when strict decoding
// finds an unknown field; annotations and labels are left as they are.
func (k *Kind) Respell(body []byte) ([]byte, bool) {
	if len(k.OldSpelling) == 0 {
		return body, false
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		return body, false
	}
	changed := false
	for name, v := range doc {
		if name != "metadata" {
			changed = k.respell(v) || changed
		}
	}
	if !changed {
		return body, false
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return body, false
	}
	return out, true
}

func (k *Kind) respell(v any) bool {
	changed := false
	switch v := v.(type) {
	case map[string]any:
		for old, name := range k.OldSpelling {
			value, has := v[old]
			if _, both := v[name]; has && !both {
				delete(v, old)
				v[name] = value
				changed = true
			}
		}
		for _, sub := range v {
			changed = k.respell(sub) || changed
		}
	case []any:
		for _, sub := range v {
			changed = k.respell(sub) || changed
		}
	}
	return changed
}
