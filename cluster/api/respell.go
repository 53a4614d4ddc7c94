package api

import "encoding/json"

// Respell returns an object's JSON with the current names of the fields in OldSpelling, and whether anything
// changed. The server calls it when strict decoding reports an unknown field. Metadata stays unchanged.
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
