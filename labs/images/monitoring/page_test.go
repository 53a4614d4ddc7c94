package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	cpu := func(s Sample) (int64, bool) { u, ok := s.Nodes["pi-1"]; return u.CPU, ok }
	list := []Sample{sample(noon.Add(-24*time.Hour), 0), sample(noon.Add(-time.Minute), 2000), sample(noon, 9000)}
	if got, want := line(list, noon, cpu, 4000), "M0.0 90.0l.1 0M479.7 45.0l.1 0L480.0 0.0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := line(list, noon, cpu, 0); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
		t.Errorf("nothing used: %s", got)
	}
}

func TestPage(t *testing.T) {
	s, err := Open(t.TempDir(), noon)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(Page(s, func() time.Time { return noon }))
	defer server.Close()
	get := func() string {
		resp, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if text := get(); !strings.Contains(text, "no sample yet") {
		t.Errorf("an empty page: %s", text)
	}
	if err := s.Add(sample(noon, 1000)); err != nil {
		t.Fatal(err)
	}
	text := get()
	for _, want := range []string{"<h3>pi-1</h3>", "<h3>pi-2</h3>", "CPU: 1000m, top of the graph 4000m", "memory: 500.0 MiB, top of the graph 925.0 MiB", "default/&lt;web&gt;", `d="M480.0 67.5`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Index(text, "default/large") > strings.Index(text, "default/&lt;web&gt;") {
		t.Error("the pod with most memory is not the first")
	}
}
