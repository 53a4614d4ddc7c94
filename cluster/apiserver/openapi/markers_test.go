package openapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"

	"wheelhouse/cluster/api"
)

var update = flag.Bool("update", false, "write markers.json")

// markers.json is what the comments of the modules in go.mod say.
func TestMarkers(t *testing.T) {
	types := map[string]reflect.Type{}
	for _, k := range allKinds() {
		if k.Codec == nil {
			collect(types, typeOf(k.New()))
			if !k.Virtual {
				collect(types, typeOf(k.NewList()))
			}
			for _, sub := range k.Connect {
				if of := api.Scheme.AllKnownTypes()[sub.Kind]; of != nil {
					collect(types, of)
				}
			}
			if k.Scale != nil {
				collect(types, api.Scheme.AllKnownTypes()[k.Scale.Kind()])
			}
		}
	}
	for _, of := range extraTypes {
		collect(types, of)
	}
	found := map[string]typeMarkers{}
	for path := range packagesOf(types) {
		for name, m := range readPackage(t, path) {
			if of := types[path+"."+name]; of != nil {
				if m = whatReflectionLacks(m, of); !reflect.DeepEqual(m, typeMarkers{}) {
					found[path+"."+name] = m
				}
			}
		}
	}
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(found); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("markers.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want.Bytes(), markersJSON) {
		t.Error("markers.json is not what the modules say; run go test -run TestMarkers -update")
	}
}

// extraTypes are in the documents without being of a kind or in one.
var extraTypes = []reflect.Type{
	reflect.TypeFor[metav1.APIGroupList](), reflect.TypeFor[metav1.APIResourceList](), reflect.TypeFor[metav1.APIVersions](),
	reflect.TypeFor[metav1.DeleteOptions](), reflect.TypeFor[metav1.Patch](), reflect.TypeFor[metav1.Status](), reflect.TypeFor[metav1.WatchEvent](),
	reflect.TypeFor[version.Info](),
}

func collect(types map[string]reflect.Type, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		if t.Name() == "" {
			collect(types, t.Elem())
			return
		}
	}
	name := t.PkgPath() + "." + t.Name()
	if t.PkgPath() == "" || types[name] != nil {
		return
	}
	types[name] = t
	if t.Kind() == reflect.Struct {
		for i := range t.NumField() {
			collect(types, t.Field(i).Type)
		}
	} else if t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		collect(types, t.Elem())
	}
}

func packagesOf(types map[string]reflect.Type) map[string]bool {
	paths := map[string]bool{}
	for _, of := range types {
		if strings.HasPrefix(of.PkgPath(), "k8s.io/") {
			paths[of.PkgPath()] = true
		}
	}
	return paths
}

// readPackage returns all that the comments of a package's types say.
func readPackage(t *testing.T, path string) map[string]typeMarkers {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		t.Fatalf("find the source of %s: %v", path, err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of %s in %s: %v", path, dir, err)
	}
	p := sourcePackage{types: map[string]typeMarkers{}, consts: map[string]string{}, enums: map[string][]enumValue{}}
	var parsed []*ast.File
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	for _, tok := range []token.Token{token.CONST, token.TYPE} { // defaults refer to constants
		for _, file := range parsed {
			for _, d := range file.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == tok {
					p.read(g)
				}
			}
		}
	}
	return p.types
}

type sourcePackage struct {
	types  map[string]typeMarkers
	consts map[string]string // values of string constants
	enums  map[string][]enumValue
}

func (p *sourcePackage) read(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			p.readConst(s)
		case *ast.TypeSpec:
			comment := s.Doc
			if comment == nil {
				comment = g.Doc
			}
			p.types[s.Name.Name] = p.readType(s, lines(comment))
		}
	}
}

func (p *sourcePackage) readConst(s *ast.ValueSpec) {
	if len(s.Values) != 1 {
		return
	}
	of, _ := s.Type.(*ast.Ident)
	from := s.Values[0]
	if call, ok := from.(*ast.CallExpr); ok && len(call.Args) == 1 { // a conversion
		of, _ = call.Fun.(*ast.Ident)
		from = call.Args[0]
	}
	var value string
	switch v := from.(type) {
	case *ast.BasicLit:
		if v.Kind != token.STRING {
			return
		}
		value, _ = strconv.Unquote(v.Value)
	case *ast.SelectorExpr: // of core
		value = map[string]string{"IPv4Protocol": string(corev1.IPv4Protocol), "IPv6Protocol": string(corev1.IPv6Protocol)}[v.Sel.Name]
	}
	if value == "" && s.Names[0].Name != "HostPathUnset" {
		return
	}
	p.consts[s.Names[0].Name] = value
	if of != nil {
		text := strings.TrimPrefix(strings.TrimSpace(strings.Join(lines(s.Doc), " ")), s.Names[0].Name)
		v := enumValue{value, spaces.ReplaceAllString(strings.TrimSpace(text), " ")}
		if !slices.ContainsFunc(p.enums[of.Name], func(have enumValue) bool { return have.Value == value }) {
			p.enums[of.Name] = append(p.enums[of.Name], v)
		}
	}
}

var spaces = regexp.MustCompile(`\s+`)

func (p *sourcePackage) readType(s *ast.TypeSpec, comment []string) typeMarkers {
	m := typeMarkers{Doc: description(comment), Atomic: tag(comment, "structType") == "atomic", Fields: map[string]fieldMarkers{}}
	if has(comment, "enum") {
		m.Enum = slices.Clone(p.enums[s.Name.Name])
		slices.SortFunc(m.Enum, func(a, b enumValue) int { return strings.Compare(a.Value, b.Value) })
	}
	if t, ok := s.Type.(*ast.StructType); ok {
		if has(comment, "union") {
			m.Union = readUnion(t)
		}
		for _, f := range t.Fields.List {
			if f.Tag != nil {
				name, options, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
				field := p.readField(lines(f.Doc))
				omitEmpty := strings.Contains(options, "omitempty")
				field.Optional = field.Optional && !omitEmpty
				field.Required = field.Required && omitEmpty
				m.Fields[name] = field
			}
		}
	}
	return m
}

// readUnion returns the fields of a type of which one is set at most, by their names in Go.
func readUnion(t *ast.StructType) *unionMarker {
	u := &unionMarker{Fields: map[string]string{}}
	for _, f := range t.Fields.List {
		if f.Tag == nil || len(f.Names) == 0 {
			continue
		}
		name, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		if has(lines(f.Doc), "unionDiscriminator") {
			u.Discriminator = name
		} else {
			u.Fields[name] = f.Names[0].Name
		}
	}
	return u
}

func (p *sourcePackage) readField(comment []string) fieldMarkers {
	m := fieldMarkers{
		Doc: description(comment), Optional: has(comment, "optional"), Required: has(comment, "required"),
		List: tag(comment, "listType"), Map: tag(comment, "mapType"),
	}
	for _, line := range comment {
		if key, ok := strings.CutPrefix(line, "+listMapKey="); ok {
			m.Keys = append(m.Keys, strings.Trim(key, `"`))
		}
	}
	if structure := tag(comment, "structType"); structure != "" {
		m.Map = structure
	}
	if value := tag(comment, "default"); value != "" {
		if name, ok := strings.CutPrefix(value, "ref("); ok {
			value = strconv.Quote(p.consts[strings.TrimSuffix(name, ")")])
		}
		m.Default = json.RawMessage(value)
	}
	return m
}

func lines(c *ast.CommentGroup) []string {
	if c == nil {
		return nil
	}
	return strings.Split(strings.TrimRight(c.Text(), "\n"), "\n")
}

func tag(comment []string, name string) string {
	for _, line := range comment {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "+"+name+"="); ok {
			return value
		}
	}
	return ""
}

func has(comment []string, name string) bool {
	return slices.ContainsFunc(comment, func(line string) bool {
		return strings.TrimSpace(line) == "+"+name || strings.HasPrefix(strings.TrimSpace(line), "+"+name+" ")
	})
}

// description is what upstream's generator makes of a comment: lines that belong together are one, without markers and TODOs.
func description(comment []string) string {
	var b bytes.Buffer
	shorten := func() {
		if b.Len() > 0 {
			b.Truncate(b.Len() - 1)
		}
	}
	for _, line := range comment {
		if line == "---" {
			break
		}
		line = strings.TrimRight(line, " ")
		start := strings.TrimLeft(line, " ")
		switch {
		case line == "":
			shorten()
			b.WriteString("\n\n")
		case strings.HasPrefix(start, "TODO"), strings.HasPrefix(start, "+"):
		case strings.HasPrefix(line, " "), strings.HasPrefix(line, "\t"):
			shorten()
			b.WriteString("\n" + line + "\n")
		default:
			b.WriteString(line + " ")
		}
	}
	return strings.TrimSpace(b.String())
}

// whatReflectionLacks leaves out what a type says of itself.
func whatReflectionLacks(m typeMarkers, of reflect.Type) typeMarkers {
	own := docOf(reflect.Zero(of).Interface())
	if m.Doc == own[""] || of.Kind() != reflect.Struct {
		m.Doc = ""
	}
	for name, f := range m.Fields {
		if f.Doc == own[name] {
			f.Doc = ""
		}
		if reflect.DeepEqual(f, fieldMarkers{}) || name == "" || name == "-" {
			delete(m.Fields, name)
			continue
		}
		m.Fields[name] = f
	}
	if len(m.Fields) == 0 {
		m.Fields = nil
	}
	return m
}
