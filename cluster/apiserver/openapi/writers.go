package openapi

import (
	"slices"
	"strings"
)

var (
	bodyTypes   = []any{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	patchTypes  = []any{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"}
	answerTypes = []any{
		"application/json", "application/yaml", "application/vnd.kubernetes.protobuf",
		"application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch",
	}
)

func common(o operation) doc {
	return doc{
		"description":                     o.description,
		"operationId":                     o.id,
		"tags":                            []any{o.tag},
		"x-kubernetes-action":             o.action,
		"x-kubernetes-group-version-kind": gvkDoc(o.gvk),
	}
}

// codes are the answers of an operation that went well.
func codes(o operation) []string {
	switch o.action {
	case "post":
		return []string{"200", "201", "202"}
	case "put", "patch":
		return []string{"200", "201"}
	case "delete":
		return []string{"200", "202"}
	}
	return []string{"200"}
}

var meaning = map[string]string{"200": "OK", "201": "Created", "202": "Accepted"}

type v3Writer struct{ s *schemas }

func (w v3Writer) parameter(p parameter) doc {
	d := doc{"name": p.name, "in": p.in, "description": p.description, "schema": doc{"type": p.typ, "uniqueItems": true}}
	if p.in == "path" {
		d["required"] = true
	}
	return d
}

func (w v3Writer) operation(o operation) doc {
	d := common(o)
	var params []any
	for _, p := range o.query {
		params = append(params, w.parameter(p))
	}
	if params != nil {
		d["parameters"] = params
	}
	if o.body != nil {
		types, content := []any{"*/*"}, doc{}
		if o.patch {
			types = o.only(patchTypes)
		}
		for _, t := range types {
			content[t.(string)] = doc{"schema": o.body}
		}
		d["requestBody"] = doc{"content": content, "required": o.action == "post" || o.action == "put" || o.patch}
	}
	answers := doc{"401": doc{"description": "Unauthorized"}}
	for _, code := range codes(o) {
		content := doc{"*/*": doc{"schema": doc{"type": "string"}}}
		if o.answer != nil {
			content = doc{}
			for _, t := range answerTypesOf(o) {
				content[t.(string)] = doc{"schema": o.answer}
			}
		}
		answers[code] = doc{"description": meaning[code], "content": content}
	}
	d["responses"] = answers
	return d
}

// answerTypesOf returns the media types of answers; only lists are also streams.
func answerTypesOf(o operation) []any {
	if o.action == "list" {
		return o.only(answerTypes)
	}
	return o.only(bodyTypes)
}

// only leaves out what objects without a Go type do not have.
func (o operation) only(types []any) []any {
	if o.protobuf {
		return types
	}
	return slices.DeleteFunc(slices.Clone(types), func(t any) bool {
		return strings.Contains(t.(string), "protobuf") || strings.Contains(t.(string), "strategic")
	})
}

type v2Writer struct{ s *schemas }

func (w v2Writer) parameter(p parameter) doc {
	d := doc{"name": p.name, "in": p.in, "description": p.description, "type": p.typ, "uniqueItems": true}
	if p.in == "path" {
		d["required"] = true
	}
	return d
}

func (w v2Writer) operation(o operation) doc {
	d := common(o)
	d["schemes"] = []any{"https"}
	d["produces"] = answerTypesOf(o)
	d["consumes"] = []any{"*/*"}
	if o.patch {
		d["consumes"] = o.only(patchTypes)
	}
	var params []any
	for _, p := range o.query {
		params = append(params, w.parameter(p))
	}
	if o.body != nil {
		params = append(params, doc{"name": "body", "in": "body", "schema": o.body, "required": o.action == "post" || o.action == "put" || o.patch})
	}
	if params != nil {
		d["parameters"] = params
	}
	answers := doc{"401": doc{"description": "Unauthorized"}}
	for _, code := range codes(o) {
		answer := doc{"type": "string"}
		if o.answer != nil {
			answer = o.answer
		}
		answers[code] = doc{"description": meaning[code], "schema": answer}
	}
	d["responses"] = answers
	return d
}
