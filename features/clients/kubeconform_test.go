package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKubeconform: with the schemas that the server publishes, kubeconform finds every object valid that the server
// has, and every manifest of the labs; a field that does not exist, a wrong type and a missing field it finds.
func TestKubeconform(t *testing.T) {
	c := startServer(t)
	schemas := writeSchemas(t, c)
	c.apply(t, c.run(t, program(t, "kustomize"), "build", "testdata/kustomize/overlays/green"))
	c.kubectl(t, "create", "-f", "testdata/kinds.yaml")
	kinds := strings.Fields(c.kubectl(t, "api-resources", "--verbs=list", "-o", "name"))
	stored := c.kubectl(t, "get", strings.Join(kinds, ","), "--all-namespaces", "-o", "yaml")
	summary, err := kubeconform(t, schemas, stored)
	if err != nil || summary.Valid < 100 || summary.Valid != len(summary.Resources) {
		t.Errorf("of what is stored is not valid: %v, %d, %v", err, summary.Valid, summary.Invalid())
	}

	for name, wrong := range map[string]struct{ manifest, message string }{
		"unknown field": {"spec: {replica: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a}]}}}", "additional properties 'replica' not allowed"},
		"wrong type":    {"spec: {replicas: one, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a}]}}}", "want integer"},
		"missing field": {"spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a}]}}}", "missing property 'selector'"},
	} {
		t.Run(name, func(t *testing.T) {
			summary, err := kubeconform(t, schemas, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"+wrong.manifest)
			if err == nil || !strings.Contains(strings.Join(summary.Invalid(), " "), wrong.message) {
				t.Errorf("%v: %v, want %q", err, summary.Resources, wrong.message)
			}
		})
	}
}

// conformity is what kubeconform prints of documents.
type conformity struct {
	Resources []struct{ Kind, Name, Status, Msg string }
	Valid     int
}

// Invalid are the messages about what is not valid, or was skipped.
func (c conformity) Invalid() []string {
	var messages []string
	for _, r := range c.Resources {
		if r.Status != "statusValid" {
			messages = append(messages, r.Kind+" "+r.Name+": "+r.Status+" "+r.Msg)
		}
	}
	return messages
}

// kubeconform validates a manifest. The error is set when something is not valid.
func kubeconform(t *testing.T, schemas, manifest string) (conformity, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "kubeconform"), "-strict", "-verbose", "-output", "json", "-summary",
		"-schema-location", schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json")
	cmd.Stdin = strings.NewReader(manifest)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var c struct {
		Resources []struct{ Kind, Name, Status, Msg string }
		Summary   struct{ Valid int }
	}
	if jsonErr := json.Unmarshal(out.Bytes(), &c); jsonErr != nil {
		t.Fatalf("%v, %v: %s%s", err, jsonErr, out.String(), errs.String())
	}
	return conformity{c.Resources, c.Summary.Valid}, err
}

// writeSchemas makes a file of each kind from the server's OpenAPI, by the names that kubeconform looks for, and strict:
// an object has no property that its schema does not name.
func writeSchemas(t *testing.T, c *cluster) (dir string) {
	t.Helper()
	var document struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal([]byte(c.kubectl(t, "get", "--raw", "/openapi/v2")), &document); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	write := func(name string, value any) {
		text, err := json.Marshal(value)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, definition := range document.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		for _, k := range kinds {
			kind := k.(map[string]any)
			file := []string{strings.ToLower(kind["kind"].(string)), kind["version"].(string)}
			if group, _, _ := strings.Cut(kind["group"].(string), "."); group != "" {
				file = []string{file[0], group, file[1]}
			}
			write(strings.Join(file, "-")+".json", map[string]string{"$ref": "all.json#/definitions/" + name})
		}
		switch {
		case definition["format"] == "int-or-string":
			document.Definitions[name] = map[string]any{"type": []string{"string", "integer"}}
		case strings.HasSuffix(name, "resource.Quantity"):
			document.Definitions[name] = map[string]any{"type": []string{"string", "number"}}
		case definition["properties"] != nil && definition["additionalProperties"] == nil:
			definition["additionalProperties"] = false
		}
		// As in the schemas that kubeconform brings along: encoders write null for what is not set.
		properties, _ := definition["properties"].(map[string]any)
		for name, property := range properties {
			properties[name] = map[string]any{"anyOf": []any{property, map[string]any{"type": "null"}}}
		}
	}
	write("all.json", document)
	return dir
}
