package openapi

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// operation is one verb on one path, before it is written for a version of OpenAPI.
type operation struct {
	verb        string // with which the id begins: "read"
	infix       string // what follows the version in the id: Collection, or the method of a connection
	suffix      string // what follows the kind in it: the subresource, List, WithPath
	action      string // "" for what is no object's
	description string
	id, tag     string // by add
	gvk         schema.GroupVersionKind
	query       []parameter
	body        doc // schema, nil for none
	patch       bool
	protobuf    bool  // and strategic merge patches
	answer      doc   // schema, nil for text
	produces    []any // the media types of the answer, nil for those of objects
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
	list := []parameter{{name: "pretty", in: "query", typ: "string", description: "If 'true', then the output is pretty printed. " +
		"Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget)."}}
	return append(list, queryOf(t, docs, names)...)
}

// queryOf returns the parameters of the fields of a type, of those that are named or all.
func queryOf(t reflect.Type, docs map[string]string, names []string) (list []parameter) {
	for i := 0; i < t.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || names != nil && !slices.Contains(names, name) {
			continue
		}
		typ := t.Field(i).Type
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Struct { // a time: upstream leaves it out
			continue
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
	deleteOptions = options(metav1.DeleteOptions{}, "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
		"orphanDependents", "propagationPolicy")
	listOptions = options(metav1.ListOptions{}, "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit",
		"resourceVersion", "resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch")
	getOptions = options(metav1.GetOptions{}, "pretty")

	namespaceParameter = parameter{name: "namespace", in: "path", typ: "string", description: "object name and auth scope, such as for teams and projects"}
)

func nameParameter(kind string) parameter {
	return parameter{name: "name", in: "path", typ: "string", description: "name of the " + kind}
}

var (
	statusType        = reflect.TypeFor[metav1.Status]()
	deleteOptionsType = reflect.TypeFor[metav1.DeleteOptions]()
	patchType         = reflect.TypeFor[metav1.Patch]()
	watchEventType    = reflect.TypeFor[metav1.WatchEvent]()
	logOptionsType    = reflect.TypeFor[corev1.PodLogOptions]()
)

// addPaths writes all paths of one kind.
func addPaths(paths doc, k *api.Kind, s *schemas, w writer) {
	b := pathBuilder{paths: paths, kind: k, s: s, w: w, object: s.object(k)}
	root := prefix(k.GroupVersion())
	base := root
	if k.Namespaced {
		if list := b.list(); list != nil && !k.Virtual {
			b.add(base+"/"+k.Plural, nil, doc{"get": *list})
		}
		b.addWatches(root, "/"+k.Plural, nil, false)
		base += "/namespaces/{namespace}"
		b.inPath = []parameter{namespaceParameter}
	}
	collection := base + "/" + k.Plural
	verbs := doc{}
	if list := b.list(); list != nil {
		verbs["get"] = *list
	}
	if b.has("create") {
		verbs["post"] = b.op("create", "post", "create"+article(k.Kind)+k.Kind, createOptions, b.object, b.object)
	}
	if b.has("deletecollection") {
		o := b.op("delete", "deletecollection", "delete collection of "+k.Kind,
			append(slices.DeleteFunc(slices.Clone(listOptions), watchesOnly), deleteOptions[1:]...), s.ref(deleteOptionsType), s.ref(statusType))
		o.infix = "Collection"
		verbs["delete"] = o
	}
	b.add(collection, b.inPath, verbs)
	b.addWatches(root, strings.TrimPrefix(collection, root), b.inPath, true)

	inPath := b.inPath
	b.inPath = append(slices.Clone(inPath), nameParameter(k.Kind))
	item := collection + "/{name}"
	b.addItem(item, "", b.object, k.GroupVersionKind, itemVerbs(b.has))
	status := func(v string) bool { return v != "delete" }
	if k.HasStatus {
		b.addItem(item+"/status", "Status", b.object, k.GroupVersionKind, itemVerbs(status))
	}
	if k.Scale != nil {
		gvk := k.Scale.Kind()
		b.inPath = append(slices.Clone(inPath), nameParameter(gvk.Kind))
		b.addItem(item+"/scale", "Scale", s.refKind(api.Scheme.AllKnownTypes()[gvk], gvk), gvk, itemVerbs(status))
		b.inPath = append(slices.Clone(inPath), nameParameter(k.Kind))
	}
	for _, sub := range k.Connect {
		b.addSubresource(item, sub)
	}
}

// watchesOnly is whether a parameter of lists is of no use to what deletes them.
func watchesOnly(p parameter) bool { return p.name == "watch" || p.name == "allowWatchBookmarks" }

// article is the article before a noun, with the spaces around it, as upstream chooses it.
func article(noun string) string {
	switch {
	case strings.HasSuffix(noun, "s") && !strings.HasSuffix(noun, "ss"):
		return " "
	case strings.ContainsRune("AEIOU", rune(noun[0])):
		return " an "
	}
	return " a "
}

// addWatches writes the paths of 2015 that watch what is at path, and, with one, an object there.
func (b *pathBuilder) addWatches(root, path string, inPath []parameter, one bool) {
	if !b.has("watch") || b.kind.Virtual {
		return
	}
	o := b.op("watch", "watchlist", "watch individual changes to a list of "+b.kind.Kind+". deprecated: use the 'watch' parameter with a list operation instead.",
		listOptions, nil, b.s.ref(watchEventType))
	o.suffix = "List"
	b.add(root+"/watch"+path, inPath, doc{"get": o})
	if !one || !b.has("get") {
		return
	}
	o = b.op("watch", "watch", "watch changes to an object of kind "+b.kind.Kind+". deprecated: use the 'watch' parameter with a list operation instead, "+
		"filtered to a single item with the 'fieldSelector' parameter.", listOptions, nil, b.s.ref(watchEventType))
	b.add(root+"/watch"+path+"/{name}", append(slices.Clone(inPath), nameParameter(b.kind.Kind)), doc{"get": o})
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

func (b *pathBuilder) op(verb, action, description string, query []parameter, body, answer doc) operation {
	return operation{
		verb: verb, action: action, description: description, gvk: b.kind.GroupVersionKind,
		query: query, body: body, answer: answer, protobuf: b.kind.Supports(api.Protobuf),
	}
}

func (b *pathBuilder) list() *operation {
	if !b.has("list") {
		return nil
	}
	answer := b.s.list(b.kind)
	what := "list or watch"
	if !b.has("watch") || b.kind.Virtual {
		what = "list"
	}
	o := b.op("list", "list", what+" objects of kind "+b.kind.Kind, listOptions, nil, answer)
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
	name := lowerFirst(subresource) + " of the specified " + b.kind.Kind
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
			answer := b.s.ref(statusType)
			if api.ShowsDeleted(b.kind.Storage().GroupKind()) {
				answer = object
			}
			o = b.op("delete", "delete", "delete"+article(b.kind.Kind)+b.kind.Kind, deleteOptions, b.s.ref(deleteOptionsType), answer)
		}
		o.suffix, o.gvk = subresource, gvk
		methods[method] = o
	}
	b.add(path, b.inPath, methods)
}

// addSubresource writes what the server implements beyond storing: bindings, logs,
// streams and proxies.
func (b *pathBuilder) addSubresource(item string, sub api.Subresource) {
	subresource := strings.ToUpper(sub.Name[:1]) + sub.Name[1:]
	path := item + "/" + sub.Name
	switch {
	case sub.Name == "log":
		o := b.op("read", "get", "read log of the specified "+b.kind.Kind, nil, nil, nil)
		o.suffix, o.produces = subresource, append([]any{"text/plain"}, bodyTypes...)
		b.add(path, b.withOptions(logOptionsType, getOptions...), doc{"get": o})
		return
	case sub.Kind == b.kind.GroupVersionKind:
		b.addItem(path, subresource, b.object, sub.Kind, itemVerbs(func(v string) bool { return slices.Contains(sub.Verbs, v) }))
		return
	}
	of := api.Scheme.AllKnownTypes()[sub.Kind]
	if of != nil && !strings.HasSuffix(sub.Kind.Kind, "Options") {
		object := b.s.refKind(of, sub.Kind)
		o := b.op("create", "post", "create "+sub.Name+" of"+article(b.kind.Kind)+b.kind.Kind, createOptions, object, object)
		o.suffix, o.gvk = subresource, sub.Kind
		b.add(path, b.named(sub.Kind.Kind), doc{"post": o})
		return
	}
	b.addConnections(path, subresource, sub, of)
}

// addConnections writes a subresource of which the answer is a stream, or another server's.
func (b *pathBuilder) addConnections(path, subresource string, sub api.Subresource, options reflect.Type) {
	methods := connectMethods
	if sub.Name != "proxy" {
		methods = []string{"get", "post"}
	}
	all, behind := doc{}, doc{}
	for _, m := range methods {
		title := strings.ToUpper(m[:1]) + m[1:]
		o := b.op("connect", "connect", "connect "+strings.ToUpper(m)+" requests to "+sub.Name+" of "+b.kind.Kind, nil, nil, nil)
		o.infix, o.suffix, o.gvk, o.produces = title, subresource, b.kind.GroupVersion().WithKind(sub.Kind.Kind), []any{"*/*"}
		all[m] = o
		o.suffix += "WithPath"
		behind[m] = o
	}
	b.inPath[len(b.inPath)-1] = nameParameter(sub.Kind.Kind)
	inPath := b.withOptions(options)
	b.add(path, inPath, all)
	if sub.Name == "proxy" {
		b.add(path+"/{path}", append(inPath, parameter{name: "path", in: "path", typ: "string", description: "path to the resource"}), behind)
	}
	b.inPath[len(b.inPath)-1] = nameParameter(b.kind.Kind)
}

var connectMethods = []string{"get", "post", "put", "patch", "delete", "head", "options"}

// withOptions returns the parameters in the path and those of a connection's options.
func (b *pathBuilder) withOptions(of reflect.Type, more ...parameter) []parameter {
	out := append(slices.Clone(b.inPath), more...)
	if of == nil {
		return out
	}
	return append(out, queryOf(of, docOf(reflect.Zero(of).Interface()), nil)...)
}

// named returns the parameters in the path, where the name is that of an object of a kind.
func (b *pathBuilder) named(kind string) []parameter {
	out := slices.Clone(b.inPath)
	out[len(out)-1] = nameParameter(kind)
	return out
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// add writes the path with its operations, whose ids must be unique.
func (b *pathBuilder) add(path string, inPath []parameter, methods doc) {
	if len(methods) == 0 {
		return
	}
	k := b.kind
	out := doc{}
	for m, o := range methods {
		o := o.(operation)
		scope := ""
		if strings.Contains(path, "{namespace}") {
			scope = "Namespaced"
		}
		after := ""
		if k.Namespaced && scope == "" {
			after = "ForAllNamespaces"
		}
		group := groupTag(k.Group)
		title := strings.ToUpper(group[:1]) + group[1:] + strings.ToUpper(k.Version[:1]) + k.Version[1:]
		o.id = o.verb + title + o.infix + scope + k.Kind + o.suffix + after
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

// groupTag is what upstream makes of a group's name: rbacAuthorization of rbac.authorization.k8s.io.
func groupTag(group string) string {
	if group == "" {
		return "core"
	}
	parts := strings.Split(strings.TrimSuffix(group, ".k8s.io"), ".")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}
