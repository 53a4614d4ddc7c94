package cluster_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every reason that events.md lists as recorded is in the source, and no other is; each reason that a call of a recorder has is on the page.
func TestEventsAreRecorded(t *testing.T) {
	page, err := os.ReadFile("events.md")
	if err != nil {
		t.Fatal(err)
	}
	source, reasons := eventSource(t)
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (recorded|not|only here) \\| (.*)\\|$").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 200 {
		t.Errorf("the page has %d rows", len(rows))
	}
	listed := map[string]bool{}
	for _, row := range rows {
		reason, recorded, why := row[1], row[2] != "not", strings.TrimSpace(row[3])
		if listed[reason] {
			t.Errorf("%s is on the page twice", reason)
		}
		listed[reason] = true
		if strings.Contains(source, `"`+reason+`"`) != recorded && strings.Contains(source, "JobReason"+reason) != recorded {
			t.Errorf("%s: the page has %q", reason, row[2])
		}
		if (row[2] == "recorded") != (why == "") {
			t.Errorf("%s: a reason that is not recorded, and one that is only here, has a word on it, and no other", reason)
		}
	}
	if len(reasons) < 80 {
		t.Errorf("the source has %d reasons in calls of a recorder", len(reasons))
	}
	for reason, at := range reasons {
		if !listed[reason] {
			t.Errorf("%s (%s) is not on the page", reason, at)
		}
	}
}

// recorders are the names of functions that record an event, of which an argument is the reason.
var recorders = map[string]bool{"Event": true, "Eventf": true, "PodEvent": true, "ContainerEvent": true, "event": true, "report": true, "problem": true}

// eventSource returns the text of the components that record events, and the reasons that their calls of a recorder have as literals.
func eventSource(t *testing.T) (text string, reasons map[string]string) {
	t.Helper()
	var source strings.Builder
	reasons = map[string]string{}
	for _, dir := range []string{"kubelet", "controller", "scheduler", "announce", "proxy", "netpol", "ingress", "store", "cmd"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			source.Write(text)
			return reasonsOf(path, text, reasons)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return source.String(), reasons
}

var reasonWord = regexp.MustCompile(`^[A-Z][a-z]+[A-Z]?[A-Za-z]*$`)

// reasonsOf adds the reasons of a file's calls, each with its place.
func reasonsOf(path string, text []byte, reasons map[string]string) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		var name string
		switch f := call.Fun.(type) {
		case *ast.SelectorExpr:
			name = f.Sel.Name
		case *ast.Ident:
			name = f.Name
		}
		for _, arg := range call.Args {
			literal, ok := arg.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING || !recorders[name] {
				continue
			}
			if word, err := strconv.Unquote(literal.Value); err == nil && reasonWord.MatchString(word) {
				reasons[word] = files.Position(literal.Pos()).String()
			}
		}
		return true
	})
	return nil
}
