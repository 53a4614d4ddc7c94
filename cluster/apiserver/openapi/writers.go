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
	d := doc{"description": o.description, "operationId": o.id, "tags": []any{o.tag}}
	if o.action != "" {
		d["x-kubernetes-action"] = o.action
		d["x-kubernetes-group-version-kind"] = gvkDoc(o.gvk)
	}
	return d
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
		body := doc{"content": content}
		if o.needsBody() {
			body["required"] = true
		}
		d["requestBody"] = body
	}
	answers := doc{"401": doc{"description": "Unauthorized"}}
	for _, code := range codes(o) {
		content, answer := doc{}, o.answer
		if answer == nil {
			answer = doc{"type": "string"}
		}
		for _, t := range answerTypesOf(o) {
			content[t.(string)] = doc{"schema": answer}
		}
		answers[code] = doc{"description": meaning[code], "content": content}
	}
	d["responses"] = answers
	return d
}

func (o operation) needsBody() bool { return o.action == "post" || o.action == "put" || o.patch }

// answerTypesOf returns the media types of answers; only lists and watches are also streams.
func answerTypesOf(o operation) []any {
	switch {
	case o.produces != nil:
		return o.produces
	case o.action == "list", o.action == "watch", o.action == "watchlist":
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
	switch {
	case o.patch:
		d["consumes"] = o.only(patchTypes)
	case o.action == "":
		d["consumes"] = answerTypesOf(o)
	default:
		d["consumes"] = []any{"*/*"}
	}
	var params []any
	for _, p := range o.query {
		params = append(params, w.parameter(p))
	}
	if o.body != nil {
		params = append(params, doc{"name": "body", "in": "body", "schema": o.body, "required": o.needsBody()})
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
