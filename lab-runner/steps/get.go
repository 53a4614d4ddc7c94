package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/util/jsonpath"
)

// Reader reads a path of the API, as objects.Client does; an empty accept asks for JSON. A World whose Client is one
// answers `kubectl get` without kubectl, whose start takes a hundred times as long as the request.
type Reader interface {
	Read(ctx context.Context, path string, query url.Values, accept string, limit int64) ([]byte, error)
}

// maxGot bounds the bytes of one answer.
const maxGot = 16 << 20

// tableType asks for the columns that kubectl prints.
const tableType = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// getLine is a `kubectl get` that is answered here.
type getLine struct {
	kind      *kind
	name      string // empty: a list
	namespace string
	query     url.Values
	output    string // as -o has it; empty: the columns
	noHeaders bool
}

// reference is TYPE/NAME as -o name prints it.
func (k *kind) reference(name string) string {
	group, _, _ := strings.Cut(strings.TrimPrefix(k.api, "/apis/"), "/")
	if k.api == "/api/v1" {
		return k.names[1] + "/" + name
	}
	return k.names[1] + "." + group + "/" + name
}

// errNotHere says that the line is kubectl's to answer.
var errNotHere = errors.New("not answered here")

// parseGet reads a line as the shell and kubectl do. What it does not support is errNotHere.
func parseGet(line, namespace string, env []string) (*getLine, error) {
	words, err := split(line, env)
	if err != nil {
		return nil, err
	}
	if len(words) < 3 || words[0] != "kubectl" || words[1] != "get" {
		return nil, errNotHere
	}
	g, named := &getLine{namespace: namespace, query: url.Values{}}, []string{}
	for i := 2; i < len(words); i++ {
		flag, value, has := strings.Cut(words[i], "=")
		if !strings.HasPrefix(flag, "-") {
			named = append(named, words[i])
			continue
		}
		if flag == "--no-headers" && !has {
			g.noHeaders = true
			continue
		}
		if !has {
			if i++; i == len(words) {
				return nil, errNotHere
			}
			value = words[i]
		}
		switch flag {
		case "-o", "--output":
			g.output = value
		case "-l", "--selector":
			g.query.Set("labelSelector", value)
		case "--field-selector":
			g.query.Set("fieldSelector", value)
		case "-n", "--namespace":
			g.namespace = value
		default:
			return nil, errNotHere
		}
	}
	return g, g.about(named)
}

// about takes the words that are no flags: TYPE, TYPE NAME or TYPE/NAME.
func (g *getLine) about(named []string) error {
	if len(named) == 1 {
		named = strings.SplitN(named[0], "/", 2)
	}
	if len(named) == 2 {
		g.name = named[1]
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return len(named) > 0 && slices.Contains(k.names, named[0]) })
	if i < 0 || len(named) > 2 || strings.ContainsAny(g.name, "/ ") || g.name != "" && len(g.query) > 0 {
		return errNotHere
	}
	g.kind = &kinds[i]
	return nil
}

// word is a piece of a shell's line: in single quotes, in double quotes, or plain. What a shell would do more with,
// such as a pipe or a command in it, is not in its sets.
var (
	word     = regexp.MustCompile(`^(?:'([^']*)'|"([^"\\` + "`" + `]*)"|([^\s'"\\|&;<>()~!#` + "`" + `]+))`)
	variable = regexp.MustCompile(`\$[A-Za-z_][A-Za-z0-9_]*`)
	braces   = regexp.MustCompile(`\{[^}]*(,|[^.]\.\.)[^}]*\}`) // which the shell expands
)

// split splits a line of words as the shell does, with the variables of env.
func split(line string, env []string) ([]string, error) {
	var out []string
	open, current := false, ""
	for rest := line; ; {
		trimmed := strings.TrimLeft(rest, " ")
		if open && (trimmed != rest || trimmed == "") {
			out, open, current = append(out, current), false, ""
		}
		if trimmed == "" {
			return out, nil
		}
		m := word.FindStringSubmatch(trimmed)
		if m == nil || braces.MatchString(m[3]) {
			return nil, errNotHere
		}
		text := m[1]
		if m[2] != "" || m[3] != "" {
			if text = expand(m[2]+m[3], env); strings.Contains(text, "$") {
				return nil, errNotHere
			}
		}
		current, open, rest = current+text, true, trimmed[len(m[0]):]
	}
}

// expand puts the values of env's variables in; others stay, as the lab's shell may have them.
func expand(text string, env []string) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		for _, v := range env {
			if value, ok := strings.CutPrefix(v, name[1:]+"="); ok && !strings.ContainsAny(value, " \t*?[") {
				return value
			}
		}
		return name
	})
}

// kubectlGet answers the line as kubectl does, with its output and exit status. ok is false if kubectl is to be asked: the line
// is none of those that are answered here, or the answer is an error that kubectl tells better.
func (w *World) kubectlGet(ctx context.Context, line string) (out string, status int, ok bool) {
	reader, can := w.Client.(Reader)
	if !can || !strings.HasPrefix(line, "kubectl get ") {
		return "", 0, false
	}
	g, err := parseGet(line, w.Namespace, w.Env)
	if err != nil {
		return "", 0, false
	}
	print, accept := g.printer()
	if print == nil {
		return "", 0, false
	}
	text, err := reader.Read(ctx, g.path(), g.query, accept, maxGot)
	var refused *apierrors.StatusError
	switch {
	case g.name != "" && errors.As(err, &refused) && apierrors.IsNotFound(err) && refused.ErrStatus.Details != nil && refused.ErrStatus.Details.Name == g.name:
		return fmt.Sprintf("Error from server (NotFound): %s\n", refused.ErrStatus.Message), 1, true
	case err != nil:
		return "", 0, false
	}
	out, err = print(text)
	return out, 0, err == nil
}

func (g *getLine) path() string {
	path := g.kind.api
	if !g.kind.cluster {
		path += "/namespaces/" + url.PathEscape(g.namespace)
	}
	path += "/" + g.kind.resource
	if g.name != "" {
		path += "/" + url.PathEscape(g.name)
	}
	return path
}

// printer returns what prints an answer, and the form of the answer it is for; nil if kubectl is to print.
func (g *getLine) printer() (print func([]byte) (string, error), accept string) {
	kind, text, _ := strings.Cut(g.output, "=")
	switch {
	case g.output == "" || g.output == "wide":
		return g.columns, tableType
	case g.output == "name":
		return g.names, ""
	case kind == "jsonpath" && text != "":
		return func(b []byte) (string, error) { return byPath(text, b) }, ""
	case kind == "go-template" && text != "":
		return func(b []byte) (string, error) { return byTemplate(text, b) }, ""
	}
	return nil, ""
}

// columns prints a table as kubectl does.
func (g *getLine) columns(answer []byte) (string, error) {
	var t metav1.Table
	if err := json.Unmarshal(answer, &t); err != nil {
		return "", err
	}
	switch {
	case t.Kind != "Table":
		return "", errNotHere
	case len(t.Rows) == 0 && g.kind.cluster:
		return "No resources found\n", nil
	case len(t.Rows) == 0:
		return fmt.Sprintf("No resources found in %s namespace.\n", g.namespace), nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 6, 4, 3, ' ', 0)
	row := func(cell func(i int) string) {
		var cells []string
		for i, c := range t.ColumnDefinitions {
			if c.Priority == 0 || g.output == "wide" {
				cells = append(cells, cell(i))
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if !g.noHeaders {
		row(func(i int) string { return strings.ToUpper(t.ColumnDefinitions[i].Name) })
	}
	for _, r := range t.Rows {
		row(func(i int) string {
			if i >= len(r.Cells) || r.Cells[i] == nil {
				return ""
			}
			text := fmt.Sprint(r.Cells[i])
			if first, _, cut := strings.Cut(text, "\n"); cut {
				return first + "..."
			}
			return text
		})
	}
	err := w.Flush()
	return b.String(), err
}

// names prints what -o name does.
func (g *getLine) names(answer []byte) (string, error) {
	type object struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	var all struct {
		object
		Items []object `json:"items"`
	}
	if err := json.Unmarshal(answer, &all); err != nil {
		return "", err
	}
	if g.name != "" {
		all.Items = []object{all.object}
	}
	var out strings.Builder
	for _, o := range all.Items {
		out.WriteString(g.kind.reference(o.Metadata.Name) + "\n")
	}
	return out.String(), nil
}

// byPath prints what -o jsonpath does.
func byPath(text string, answer []byte) (string, error) {
	j := jsonpath.New("out").AllowMissingKeys(true)
	if err := j.Parse(text); err != nil {
		return "", err
	}
	var value map[string]any
	if err := utiljson.Unmarshal(answer, &value); err != nil {
		return "", err
	}
	var b bytes.Buffer
	err := j.Execute(&b, value)
	return b.String(), err
}

// byTemplate prints what -o go-template does.
func byTemplate(text string, answer []byte) (string, error) {
	t, err := template.New("out").Parse(text)
	if err != nil {
		return "", err
	}
	var value map[string]any
	if err := utiljson.Unmarshal(answer, &value); err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = t.Execute(&b, value)
	return b.String(), err
}
