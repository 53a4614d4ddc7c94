package openapi

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"sync"
)

// Comments of Go types have markers that reflection does not show: what is optional, how lists are merged, defaults, the values of
// an enumeration. markers.json has them, made from the source of the modules in go.mod by `go test -run TestMarkers -update`.
//
//go:embed markers.json
var markersJSON []byte

// typeMarkers are those of a type.
type typeMarkers struct {
	// Doc replaces what the type says of itself (SwaggerDoc), where that is something else or nothing.
	Doc    string                  `json:"doc,omitempty"`
	Atomic bool                    `json:"atomic,omitempty"` // it is applied as a whole
	Enum   []enumValue             `json:"enum,omitempty"`   // all values of a string type, sorted
	Union  *unionMarker            `json:"union,omitempty"`
	Fields map[string]fieldMarkers `json:"fields,omitempty"` // by their names in JSON
}

// unionMarker says that one field of a type is set at most, as the extension x-kubernetes-unions has it.
type unionMarker struct {
	Discriminator string            `json:"discriminator,omitempty"` // the field that names the one
	Fields        map[string]string `json:"fields-to-discriminateBy,omitempty"`
}

type enumValue struct {
	Value string `json:"value"`
	Doc   string `json:"doc,omitempty"`
}

// fieldMarkers are those of a field.
type fieldMarkers struct {
	Doc      string          `json:"doc,omitempty"`      // as that of a type
	Optional bool            `json:"optional,omitempty"` // though JSON always has it
	Required bool            `json:"required,omitempty"` // though JSON leaves out its zero
	Default  json.RawMessage `json:"default,omitempty"`
	List     string          `json:"list,omitempty"` // atomic, set or map
	Keys     []string        `json:"keys,omitempty"` // of a list of type map
	Map      string          `json:"map,omitempty"`  // atomic or granular
}

// loadMarkers returns the markers by the names of the types: "k8s.io/api/core/v1.Taint".
var loadMarkers = sync.OnceValue(func() map[string]typeMarkers {
	all := map[string]typeMarkers{}
	if err := json.Unmarshal(markersJSON, &all); err != nil {
		panic("openapi: markers.json: " + err.Error()) // it is part of the program
	}
	return all
})

func markersOf(t reflect.Type) typeMarkers { return loadMarkers()[t.PkgPath()+"."+t.Name()] }

// addTo writes the markers of a field as the x-kubernetes extensions have them.
func (m *fieldMarkers) addTo(p doc) {
	if m.List != "" {
		p["x-kubernetes-list-type"] = m.List
	}
	if m.Keys != nil {
		p["x-kubernetes-list-map-keys"] = m.Keys
	}
	if m.Map != "" {
		p["x-kubernetes-map-type"] = m.Map
	}
}

// enumDoc is what a field's description says of its type's values, as upstream writes it.
func enumDoc(values []enumValue) string {
	if len(values) == 0 {
		return ""
	}
	text := "Possible enum values:"
	for _, v := range values {
		text += "\n - `" + quoted(v.Value) + "`"
		if v.Doc != "" {
			text += " " + v.Doc
		}
	}
	return text
}

func quoted(s string) string { return `"` + s + `"` }
