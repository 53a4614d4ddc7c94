package kubelet

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// goTypes are the fields of PodSpec and of all types that it has: by type and JSON name the name in Go, and by type the names
// of the fields that have it.
type goTypes struct{ names, users map[string]map[string]string }

func (g goTypes) add(of reflect.Type) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || g.names[of.Name()] != nil || !strings.HasPrefix(of.PkgPath(), "k8s.io/") {
		return
	}
	names := map[string]string{}
	g.names[of.Name()] = names
	for _, f := range reflect.VisibleFields(of) {
		json, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if json == "" {
			g.add(f.Type) // embedded
			continue
		}
		names[json] = f.Name
		to := f.Type
		for to.Kind() == reflect.Pointer || to.Kind() == reflect.Slice {
			to = to.Elem()
		}
		if g.users[to.Name()] == nil {
			g.users[to.Name()] = map[string]string{}
		}
		g.users[to.Name()][json] = f.Name
		g.add(f.Type)
	}
}

// in reports whether a test has the field, and the field's type or a field of that type; a type of many fields is in each pod.
func (g goTypes) in(words map[string]bool, typ, field string) bool {
	if !words[field] && !words[g.names[typ][field]] {
		return false
	}
	if slices.Contains([]string{"PodSpec", "Container", "EphemeralContainer"}, typ) || words[typ] {
		return true
	}
	for json, name := range g.users[typ] {
		if words[json] || words[name] {
			return true
		}
	}
	return false
}

// Each field that is done is in a test, or in a scenario, together with the type that has it: what nothing tries is not done. That
// the test proves it is for its reader to judge; this finds fields that none can prove.
func TestDoneFieldsAreInTests(t *testing.T) {
	types := goTypes{map[string]map[string]string{}, map[string]map[string]string{}}
	types.add(reflect.TypeFor[v1.PodSpec]())
	var tests []map[string]bool
	word := regexp.MustCompile(`\w+`)
	root := filepath.Join("..", "..")
	for _, dir := range []string{"cluster", "features"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() == "fields_test.go" {
				return err
			}
			switch {
			case strings.HasSuffix(name, ".feature"):
				text, err := os.ReadFile(name)
				tests = append(tests, wordsOf(word.FindAllString(string(text), -1)))
				return err
			case strings.HasSuffix(name, "_test.go"):
				of, err := testsIn(name)
				tests = append(tests, of...)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	done := 0
	for field, row := range fieldTable(t) {
		if row.state != "done" {
			continue
		}
		done++
		typ, name, _ := strings.Cut(field, ".")
		if !slices.ContainsFunc(tests, func(words map[string]bool) bool { return types.in(words, typ, name) }) {
			t.Errorf("no test and no scenario has %s", field)
		}
	}
	if done < 300 || len(tests) < 1000 {
		t.Errorf("%d fields that are done, %d tests", done, len(tests))
	}
}

// testsIn returns the words of each test of a file.
func testsIn(file string) (all []map[string]bool, err error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
			continue
		}
		var words []string
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				words = append(words, n.Name)
			case *ast.BasicLit:
				words = append(words, regexp.MustCompile(`\w+`).FindAllString(n.Value, -1)...)
			}
			return true
		})
		all = append(all, wordsOf(words))
	}
	return all, nil
}

func wordsOf(list []string) map[string]bool {
	all := make(map[string]bool, len(list))
	for _, w := range list {
		all[w] = true
	}
	return all
}
