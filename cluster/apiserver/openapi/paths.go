package openapi

import (
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// operation is one verb on one path, before it is written for a version of OpenAPI.
type operation struct {
	id, action  string
	description string
	tag         string
	gvk         schema.GroupVersionKind
	query       []parameter
	body        doc // schema, nil for none
	patch       bool
	protobuf    bool // and strategic merge patches
	answer      doc  // schema, nil for plain text
}

type parameter struct {
	name, in, typ string
	description   string
}

// writer writes operations and parameters of one version of OpenAPI.
type writer interface {
	operation(operation) doc
	parameter(parameter) doc
}

// The parameters' comments are those of the options they are decoded into.
func options(of documented, names ...string) []parameter {
	docs, t := of.SwaggerDoc(), reflect.TypeOf(of)
	list := []parameter{{name: "pretty", in: "query", typ: "string", description: "If 'true', the answer is indented."}}
	for i := 0; i < t.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if !slices.Contains(names, name) {
			continue
		}
		typ := t.Field(i).Type
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		p := parameter{name: name, in: "query", typ: "string", description: docs[name]}
		switch typ.Kind() {
		case reflect.Bool:
			p.typ = "boolean"
		case reflect.Int64:
			p.typ = "integer"
		}
		list = append(list, p)
	}
	return list
}

var (
	createOptions = options(metav1.CreateOptions{}, "dryRun", "fieldManager", "fieldValidation")
	updateOptions = options(metav1.UpdateOptions{}, "dryRun", "fieldManager", "fieldValidation")
	patchOptions  = options(metav1.PatchOptions{}, "dryRun", "fieldManager", "fieldValidation", "force")
	deleteOptions = options(metav1.DeleteOptions{}, "dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
	listOptions   = options(metav1.ListOptions{}, "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit",
		"resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch")
	getOptions = options(metav1.GetOptions{})

	nameParameter      = parameter{name: "name", in: "path", typ: "string", description: "name of the object"}
	namespaceParameter = parameter{name: "namespace", in: "path", typ: "string", description: "namespace of the object"}
)

var (
	statusType        = reflect.TypeFor[metav1.Status]()
	deleteOptionsType = reflect.TypeFor[metav1.DeleteOptions]()
	patchType         = reflect.TypeFor[metav1.Patch]()
)

// addPaths writes all paths of one kind.
func addPaths(paths doc, k *api.Kind, s *schemas, w writer) {
	b := pathBuilder{paths: paths, kind: k, s: s, w: w, object: s.object(k)}
	base := prefix(k.GroupVersion())
	if k.Namespaced {
		if list := b.list(); list != nil && !k.Virtual {
			b.add(base+"/"+k.Plural, nil, doc{"get": *list})
		}
		base += "/namespaces/{namespace}"
		b.inPath = []parameter{namespaceParameter}
	}
	collection := base + "/" + k.Plural
	verbs := doc{}
	if list := b.list(); list != nil {
		verbs["get"] = *list
	}
	if b.has("create") {
		verbs["post"] = b.op("create", "post", "create a "+k.Kind, createOptions, b.object, b.object)
	}
	if b.has("deletecollection") {
		verbs["delete"] = b.op("deleteCollection", "deletecollection", "delete a collection of "+k.Kind,
			append(slices.Clone(listOptions), deleteOptions[1:]...), s.ref(deleteOptionsType), s.ref(statusType))
	}
	b.add(collection, b.inPath, verbs)

	b.inPath = append(b.inPath, nameParameter)
	item := collection + "/{name}"
	b.addItem(item, "", b.object, k.GroupVersionKind, itemVerbs(b.has))
	status := func(v string) bool { return v != "delete" }
	if k.HasStatus {
		b.addItem(item+"/status", "Status", b.object, k.GroupVersionKind, itemVerbs(status))
	}
	if k.Scale != nil {
		gvk := k.Scale.Kind()
		b.addItem(item+"/scale", "Scale", s.refKind(api.Scheme.AllKnownTypes()[gvk], gvk), gvk, itemVerbs(status))
	}
	for _, sub := range k.Connect {
		b.addSubresource(item, sub)
	}
}

type pathBuilder struct {
	paths  doc
	kind   *api.Kind
	s      *schemas
	w      writer
	object doc
	inPath []parameter
}

func typeOf(v any) reflect.Type { return reflect.TypeOf(v).Elem() }

func (b *pathBuilder) has(verb string) bool {
	verbs := b.kind.Verbs
	if verbs == nil {
		verbs = api.AllVerbs
	}
	return slices.Contains(verbs, verb)
}

func (b *pathBuilder) op(id, action, description string, query []parameter, body, answer doc) operation {
	return operation{
		id: id, action: action, description: description, gvk: b.kind.GroupVersionKind,
		query: query, body: body, answer: answer, protobuf: b.kind.Supports(api.Protobuf),
	}
}

func (b *pathBuilder) list() *operation {
	if !b.has("list") {
		return nil
	}
	answer := b.s.list(b.kind)
	o := b.op("list", "list", "list or watch objects of kind "+b.kind.Kind, listOptions, nil, answer)
	return &o
}

func itemVerbs(has func(string) bool) []string {
	var out []string
	for _, v := range []string{"get", "update", "patch", "delete"} {
		if has(v) {
			out = append(out, v)
		}
	}
	return out
}

// addItem writes the verbs on one object or on a subresource of it.
func (b *pathBuilder) addItem(path, subresource string, object doc, gvk schema.GroupVersionKind, verbs []string) {
	methods := doc{}
	name := strings.TrimSpace(strings.ToLower(subresource) + " of the specified " + b.kind.Kind)
	if subresource == "" {
		name = "the specified " + b.kind.Kind
	}
	for _, v := range verbs {
		var o operation
		method := v
		switch v {
		case "get":
			o = b.op("read", "get", "read "+name, getOptions, nil, object)
		case "update":
			method = "put"
			o = b.op("replace", "put", "replace "+name, updateOptions, object, object)
		case "patch":
			o = b.op("patch", "patch", "partially update "+name, patchOptions, b.s.ref(patchType), object)
			o.patch = true
		case "delete":
			o = b.op("delete", "delete", "delete "+name, deleteOptions, b.s.ref(deleteOptionsType), b.s.ref(statusType))
		}
		o.id, o.gvk = o.id+subresource, gvk
		methods[method] = o
	}
	b.add(path, b.inPath, methods)
}

// addSubresource writes what the server implements beyond storing: bindings, logs,
// streams and proxies.
func (b *pathBuilder) addSubresource(item string, sub api.Subresource) {
	subresource := strings.ToUpper(sub.Name[:1]) + sub.Name[1:]
	path := item + "/" + sub.Name
	if sub.Kind == b.kind.GroupVersionKind && sub.Name != "log" {
		b.addItem(path, subresource, b.object, sub.Kind, itemVerbs(func(v string) bool { return slices.Contains(sub.Verbs, v) }))
		return
	}
	var object doc
	if o, err := api.Scheme.New(sub.Kind); err == nil && !strings.HasSuffix(sub.Kind.Kind, "Options") && sub.Name != "log" {
		object = b.s.refKind(typeOf(o), sub.Kind)
	}
	method := map[string]string{"create": "post", "update": "put", "get": "get", "patch": "patch", "delete": "delete"}
	methods := doc{}
	for _, v := range sub.Verbs {
		o := b.op("connect"+method[v], "connect", "connect "+strings.ToUpper(method[v])+" requests to "+sub.Name+" of "+b.kind.Kind, nil, nil, object)
		if object != nil {
			o = b.op(v, method[v], v+" "+sub.Name+" of a "+b.kind.Kind, createOptions, object, object)
		}
		o.id, o.gvk = o.id+subresource, sub.Kind
		methods[method[v]] = o
	}
	b.add(path, b.inPath, methods)
	if sub.Name == "proxy" {
		inPath := append(slices.Clone(b.inPath), parameter{name: "path", in: "path", typ: "string", description: "path of the URL behind the proxy"})
		for m, o := range methods {
			o := o.(operation)
			o.id += "WithPath"
			methods[m] = o
		}
		b.add(path+"/{path}", inPath, methods)
	}
}

// add writes the path with its operations, whose ids must be unique.
func (b *pathBuilder) add(path string, inPath []parameter, methods doc) {
	if len(methods) == 0 {
		return
	}
	k := b.kind
	group, _, _ := strings.Cut(k.Group, ".")
	if group == "" {
		group = "core"
	}
	out := doc{}
	for m, o := range methods {
		o := o.(operation)
		scope := ""
		if strings.Contains(path, "{namespace}") {
			scope = "Namespaced"
		}
		title := strings.ToUpper(group[:1]) + group[1:] + strings.ToUpper(k.Version[:1]) + k.Version[1:]
		suffix := ""
		if k.Namespaced && scope == "" {
			suffix = "ForAllNamespaces"
		}
		verb, subresource := splitID(o.id)
		o.id = verb + title + scope + k.Kind + subresource + suffix
		o.tag = group + "_" + k.Version
		out[m] = b.w.operation(o)
	}
	var params []any
	for _, p := range inPath {
		params = append(params, b.w.parameter(p))
	}
	if len(params) > 0 {
		out["parameters"] = params
	}
	b.paths[path] = out
}

// splitID takes "readStatus" apart: verbs are in lower case but for deleteCollection.
func splitID(id string) (verb, subresource string) {
	if rest, ok := strings.CutPrefix(id, "deleteCollection"); ok {
		return "deleteCollection", rest
	}
	for i, r := range id {
		if r >= 'A' && r <= 'Z' {
			return id[:i], id[i:]
		}
	}
	return id, ""
}
