package cluster_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/autoscaling"
	"wheelhouse/cluster/api/batch"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/networking"
	"wheelhouse/cluster/api/policy"
	"wheelhouse/cluster/api/storage"
	"wheelhouse/cluster/apiserver/openapi"
)

var tabled = []*api.Kind{
	core.Services, apps.Deployments, apps.StatefulSets, apps.DaemonSets, batch.Jobs, batch.CronJobs, autoscaling.HorizontalPodAutoscalers,
	policy.PodDisruptionBudgets, core.PersistentVolumes, core.PersistentVolumeClaims, storage.StorageClasses, networking.Ingresses, core.Nodes,
}

// readWhole are types that functions of client libraries read, and those of tables of their own.
var readWhole = []string{"ObjectMeta", "PodTemplateSpec", "VolumeNodeAffinity", "PersistentVolumeClaimStatus"}

// fieldRow is a row of fields.md.
type fieldRow struct{ state, place, name string }

var fieldStates = []string{"done", "refused by validation", "refused with an event", "dropped, as upstream", "for others"}

// fieldTable reads the rows of a table by type and field. They begin with type, fields and state.
func fieldTable(t *testing.T, file string) map[string]fieldRow {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]fieldRow{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[1]) == "type" {
			continue
		}
		for _, name := range strings.Split(cells[2], ",") {
			field := strings.TrimSpace(cells[1]) + "." + strings.TrimSpace(name)
			if _, twice := out[field]; twice {
				t.Errorf("%s: %s has two rows", file, field)
			}
			row := fieldRow{state: strings.TrimSpace(cells[3]), place: strings.TrimSpace(cells[4])}
			if !slices.Contains(fieldStates, row.state) || row.place == "" {
				t.Errorf("%s: %s: %+v", file, field, row)
			}
			out[field] = row
		}
	}
	return out
}

// Each field of the kinds' specs, at any depth, has a row in fields.md, and each row a field.
// Below what is not done as a whole there is nothing to say.
func TestEveryFieldHasARow(t *testing.T) {
	rows, pods, seen := fieldTable(t, "fields.md"), fieldTable(t, "kubelet/FIELDS.md"), map[string]bool{}
	for _, kind := range tabled {
		schemas, err := openapi.Schemas(kind)
		if err != nil {
			t.Fatal(err)
		}
		names := goNames(reflect.TypeOf(kind.New()).Elem(), map[string]map[string]string{})
		done := map[string]bool{}
		var walk func(name string)
		walk = func(name string) {
			short := name[strings.LastIndex(name, ".")+1:]
			if done[short] || slices.Contains(readWhole, short) {
				return
			}
			done[short] = true
			properties := schemas[name].Properties
			for _, p := range slices.Sorted(maps.Keys(properties)) {
				field := short + "." + p
				if short == kind.Kind && slices.Contains([]string{"apiVersion", "kind", "metadata"}, p) {
					continue
				}
				if _, there := pods[field]; there {
					return // the type is in the table of pods
				}
				row, ok := rows[field]
				if !ok {
					t.Errorf("%s of %s has no row", field, kind.Kind)
				}
				seen[field] = true
				if row.name = names[short][p]; row.name == "" {
					t.Errorf("%s has no name in Go", field)
				}
				rows[field] = row
				if to := refersTo(properties[p]); row.state == "done" && to != "" && len(schemas[to].Properties) > 0 {
					walk(to)
				}
			}
		}
		root := rootSchema(t, kind, schemas)
		if of := refersTo(schemas[root].Properties["spec"]); of != "" {
			root = of
		}
		walk(root)
	}
	if len(seen) < 200 {
		t.Errorf("%d fields were found", len(seen))
	}
	for field, row := range rows {
		if !seen[field] {
			t.Errorf("%s has a row and is no field", field)
			continue
		}
		checkPlace(t, field, row)
	}
}

func rootSchema(t *testing.T, kind *api.Kind, schemas map[string]*spec.Schema) string {
	t.Helper()
	for name := range schemas {
		if strings.HasSuffix(name, "."+kind.Kind) {
			return name
		}
	}
	t.Fatalf("%s has no schema", kind.Kind)
	return ""
}

// refersTo is the name of the schema that a property, or its items, refer to.
func refersTo(s spec.Schema) string {
	all := append([]spec.Schema{s}, s.AllOf...)
	if s.Items != nil && s.Items.Schema != nil {
		all = append(append(all, *s.Items.Schema), s.Items.Schema.AllOf...)
	}
	for _, one := range all {
		if r := one.Ref.String(); r != "" {
			return r[strings.LastIndex(r, "/")+1:]
		}
	}
	return ""
}

// goNames adds the names of the fields of a type, and of all that it has, by type and JSON name.
func goNames(of reflect.Type, into map[string]map[string]string) map[string]map[string]string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || into[of.Name()] != nil {
		return into
	}
	fields := map[string]string{}
	into[of.Name()] = fields
	add := func(f reflect.StructField) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = f.Name
		}
		goNames(f.Type, into)
	}
	for _, f := range reflect.VisibleFields(of) {
		add(f)
	}
	return into
}

var placeText = regexp.MustCompile("^`([a-z0-9_/]+\\.go): (\\w+)`$")

// checkPlace checks that a row's place is there, and that it has the field's name where the row
// says that something is done about the field.
func checkPlace(t *testing.T, field string, row fieldRow) {
	t.Helper()
	at := placeText.FindStringSubmatch(row.place)
	if at == nil {
		t.Errorf("%s: the place is %s", field, row.place)
		return
	}
	words, ok := placeWords(t, filepath.FromSlash(at[1]), at[2])
	if !ok {
		t.Errorf("%s: %s has no %s", field, at[1], at[2])
		return
	}
	_, last, _ := strings.Cut(field, ".")
	if row.name == "ObjectMeta" { // embedded, so that its fields are named
		row.name = "Labels"
	}
	named := slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, row.name) || strings.Contains(w, last) })
	switch row.state {
	case "done":
		if !named {
			t.Errorf("%s: %s of %s does not name it", field, at[2], at[1])
		}
	case "refused with an event":
		// What handles some of all kinds refuses the rest.
		if !named && !slices.Contains(words, "unsupported") && !slices.Contains(words, "errNotServed") {
			t.Errorf("%s: %s of %s does not refuse it", field, at[2], at[1])
		}
	}
}

// placeWords returns the identifiers and texts in a function or variable of a file.
func placeWords(t *testing.T, file, name string) (words []string, ok bool) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil, false
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name && d.Body != nil {
				return append(words, wordsIn(d.Body)...), true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, isValue := s.(*ast.ValueSpec); isValue && v.Names[0].Name == name {
					return append(words, wordsIn(v)...), true
				}
			}
		}
	}
	return nil, false
}

func wordsIn(n ast.Node) (words []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			words = append(words, n.Name)
		case *ast.BasicLit:
			words = append(words, n.Value)
		}
		return true
	})
	return words
}
