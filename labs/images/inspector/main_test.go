package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPagesShowWhatTheContainerSees(t *testing.T) {
	t.Setenv("INSPECTOR_SERVICE_HOST", "10.247.0.9")
	server := httptest.NewServer(handler())
	defer server.Close()
	cases := []struct {
		path  string
		wants []string
	}{
		{"/", []string{"<b>Home</b> | <a href=\"./env\">Environment</a> | <a href=\"./mnt\">Mounts</a> | <a href=\"./net\">Network</a>", "Version: Inspector 1.0.0"}},
		{"/env", []string{"<b>Environment</b>", "<td>INSPECTOR_SERVICE_HOST</td><td>10.247.0.9</td>"}},
		{"/mnt", []string{"<b>Mounts</b>", "<td>/proc</td><td>proc</td>"}},
		{"/net", []string{"<b>Network</b>", "<td>lo</td>", "127.0.0.1/8"}},
	}
	for _, c := range cases {
		res, err := http.Get(server.URL + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %s, %v", c.path, res.Status, err)
		}
		for _, want := range c.wants {
			if !strings.Contains(string(body), want) {
				t.Errorf("GET %s: no %q in\n%s", c.path, want, body)
			}
		}
	}
	res, err := http.Get(server.URL + "/nothing")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("GET /nothing: %s, wanted 404", res.Status)
	}
}
