package apiserver_test

import (
	"strings"
	"testing"

	"wheelhouse/cluster/apiserver/apitest"
)

// TestOldSpelling sends what manifests of the first years say: `IP` for an address.
func TestOldSpelling(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const (
		endpoints = "/api/v1/namespaces/default/endpoints"
		asJSONOld = `{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"NAME"},"subsets":[{"addresses":[{"IP":"10.0.0.1"}],"ports":[{"port":80}]}]}`
		asYAMLOld = "kind: Endpoints\napiVersion: v1\nmetadata: {name: NAME}\nsubsets:\n- addresses:\n  - IP: 10.0.0.1\n  ports: [{port: 80}]\n"
		subsets   = `{"subsets":[{"addresses":[{"IP":"10.0.0.2"}],"ports":[{"port":80}]}]}`
	)
	for _, c := range []struct{ name, method, path, contentType, body, ip string }{
		{"json", "POST", "", asJSON, asJSONOld, "10.0.0.1"},
		{"yaml", "POST", "", asYAML, asYAMLOld, "10.0.0.1"},
		{"put", "PUT", "/NAME", asJSON, asJSONOld, "10.0.0.1"},
		{"strategic", "PATCH", "/NAME", "application/strategic-merge-patch+json", subsets, "10.0.0.2"},
		{"merge", "PATCH", "/NAME", "application/merge-patch+json", subsets, "10.0.0.2"},
		{"operations", "PATCH", "/NAME", "application/json-patch+json", `[{"op":"replace","path":"/subsets/0/addresses","value":[{"IP":"10.0.0.2"}]}]`, "10.0.0.2"},
		{"apply", "PATCH", "/NAME", "application/apply-patch+yaml", asYAMLOld, "10.0.0.1"},
	} {
		for _, validation := range []string{"Strict", "Warn", "Ignore"} {
			name := c.name + "-" + strings.ToLower(validation)
			t.Run(name, func(t *testing.T) {
				if c.method != "POST" && c.name != "apply" {
					there := `{"metadata":{"name":"` + name + `"},"subsets":[{"addresses":[{"ip":"10.0.0.9"}],"ports":[{"port":80}]}]}`
					if resp, body := r.do("POST", endpoints, asJSON, there); resp.StatusCode != 201 {
						t.Fatal(body)
					}
				}
				path := endpoints + strings.ReplaceAll(c.path, "NAME", name) + "?fieldManager=m&fieldValidation=" + validation
				resp, body := r.do(c.method, path, c.contentType, strings.ReplaceAll(c.body, "NAME", name))
				if resp.StatusCode >= 300 || !strings.Contains(body, `"ip":"`+c.ip+`"`) {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				for _, w := range resp.Header.Values("Warning") {
					if !strings.Contains(w, "v1 Endpoints is deprecated") {
						t.Errorf("warns of a supported spelling: %s", w)
					}
				}
			})
		}
	}
}
