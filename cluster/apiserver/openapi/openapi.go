// Package openapi describes the API in OpenAPI 2 and 3: a schema for every type, the
// kind's own or by reflection over its Go type, and a path for every verb. kubectl
// reads it for explain, for validation, and for the parameters of a verb.
//
// V3 and V2 are pure functions of the kinds. Handler serves what they return, and makes
// it at the first request, since most servers of a lab never get one for V2.
package openapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"wheelhouse/cluster/api"
)

// doc is a JSON object; encoding/json writes its keys sorted, so that the same kinds
// always give the same bytes.
type doc = map[string]any

// V3 returns one document for each group and version, by its path ("api/v1",
// "apis/apps/v1"), and those of what is no resource ("apis/apps", "version").
func V3(kinds []*api.Kind) (map[string][]byte, error) {
	byDocument := map[string][]*api.Kind{}
	for _, k := range kinds {
		at := prefix(k.GroupVersion())[1:]
		byDocument[at] = append(byDocument[at], k)
	}
	out := map[string][]byte{}
	for _, r := range rootsOf(versionsOf(kinds)) {
		list := byDocument[r.document]
		s := newSchemas("#/components/schemas/", true, versionsOf(list))
		paths := doc{}
		for _, k := range list {
			addPaths(paths, k, s, v3Writer{s})
		}
		addRoot(paths, r, s, v3Writer{s})
		if s.err != nil {
			return nil, fmt.Errorf("OpenAPI v3 of %s: %w", r.document, s.err)
		}
		b, err := json.Marshal(doc{
			"openapi": "3.0.0",
			"info":    info,
			"paths":   paths,
			"components": doc{
				"schemas":         s.definitions,
				"securitySchemes": doc{"BearerToken": bearerToken},
			},
		})
		if err != nil {
			return nil, fmt.Errorf("encode OpenAPI v3 of %s: %w", r.document, err)
		}
		out[r.document] = b
	}
	return out, nil
}

// V2 returns the one document of older clients, as JSON and as gnostic's protobuf.
func V2(kinds []*api.Kind) (jsonDoc, protobufDoc []byte, err error) {
	s := newSchemas("#/definitions/", false, versionsOf(kinds))
	paths := doc{}
	for _, k := range kinds {
		addPaths(paths, k, s, v2Writer{s})
	}
	for _, r := range rootsOf(versionsOf(kinds)) {
		addRoot(paths, r, s, v2Writer{s})
	}
	if s.err != nil {
		return nil, nil, fmt.Errorf("OpenAPI v2: %w", s.err)
	}
	jsonDoc, err = json.Marshal(doc{
		"swagger":             "2.0",
		"info":                info,
		"paths":               paths,
		"definitions":         s.definitions,
		"securityDefinitions": doc{"BearerToken": bearerToken},
		"security":            []any{doc{"BearerToken": []any{}}},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("encode OpenAPI v2: %w", err)
	}
	parsed, err := openapi_v2.ParseDocument(jsonDoc)
	if err != nil {
		return nil, nil, fmt.Errorf("read back OpenAPI v2: %w", err)
	}
	protobufDoc, err = proto.Marshal(parsed)
	if err != nil {
		return nil, nil, fmt.Errorf("encode OpenAPI v2 as protobuf: %w", err)
	}
	return jsonDoc, protobufDoc, nil
}

// Schemas returns the schema of a kind with those that it leads to, by their names.
func Schemas(k *api.Kind) (map[string]*spec.Schema, error) {
	s := newSchemas("#/components/schemas/", true, []schema.GroupVersion{k.GroupVersion()})
	s.object(k)
	b, err := json.Marshal(s.definitions)
	if err = cmp.Or(s.err, err); err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", k.Kind, err)
	}
	out := map[string]*spec.Schema{}
	return out, json.Unmarshal(b, &out)
}

var (
	info        = doc{"title": "Kubernetes", "version": "unversioned"}
	bearerToken = doc{"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}
)

// versionsOf returns the groups and versions of the kinds, each once and sorted.
func versionsOf(kinds []*api.Kind) []schema.GroupVersion {
	var out []schema.GroupVersion
	for _, k := range kinds {
		if gv := k.GroupVersion(); !slices.Contains(out, gv) {
			out = append(out, gv)
		}
	}
	slices.SortFunc(out, func(a, b schema.GroupVersion) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Version, b.Version))
	})
	return out
}

// prefix is where a group and version begins: /api/v1, /apis/apps/v1.
func prefix(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.String()
}
