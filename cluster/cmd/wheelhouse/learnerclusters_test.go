package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a learner's API server answers leads nowhere else, and ends.
func TestGuarded(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirection was followed") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/endless":
			for b := make([]byte, 1<<20); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		default:
			_, _ = io.WriteString(w, "fine")
		}
	}))
	defer s.Close()
	c := &http.Client{Transport: guarded{http.DefaultTransport}}
	get := func(path string) ([]byte, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	if text, err := get("/"); string(text) != "fine" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := get("/elsewhere"); err == nil || !strings.Contains(err.Error(), "redirection") {
		t.Errorf("elsewhere: %v", err)
	}
	var long *http.MaxBytesError
	if text, err := get("/endless"); !errors.As(err, &long) || len(text) > mostAnswer {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// Of the clusters beside a class those alone are its learners' whose names are made so.
func TestNamesOfLearnersClusters(t *testing.T) {
	s := sealedClusters{clusterFlags{name: "day", stateDir: t.TempDir()}, 1}
	for _, name := range []string{"day", "day-l-abc234", "day-l-abc2345", "day-l-ABC234", "day-l-", "day2-l-abc234", "other-l-abc234"} {
		if err := os.Mkdir(filepath.Join(s.stateDir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	names, err := s.Names()
	if err != nil || !slices.Equal(names, []string{"day-l-abc234"}) {
		t.Errorf("%v, %v", names, err)
	}
	for _, name := range []string{"day", "other-l-abc234", "day-l-../../x", ""} {
		if err := s.Down(t.Context(), name); err == nil || !strings.Contains(err.Error(), "no cluster of a learner") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFlagsOfLearnersClusters(t *testing.T) {
	for _, x := range []struct {
		o     learnerClusters
		class string
		gives []string
		bad   bool
	}{
		{learnerClusters{mode: inNamespaces, nodes: 1}, "wheelhouse", nil, false},
		{learnerClusters{mode: "machine", nodes: 1}, "wheelhouse", nil, true},
		{learnerClusters{mode: inNamespaces, nodes: 0}, "wheelhouse", nil, true},
		{learnerClusters{mode: inNamespaces, nodes: 1, spare: -1}, "wheelhouse", nil, true},
		{learnerClusters{mode: inClusters, nodes: 1}, "a-name-that-is-too-long", []string{"cluster-admin", "own-limits"}, true},
		{learnerClusters{mode: inClusters, nodes: 2}, strings.Repeat("x", 21), []string{"cluster-admin", "own-limits", "many-nodes"}, true},
	} {
		if err := x.o.check(x.class); (err != nil) != x.bad {
			t.Errorf("%+v: %v", x.o, err)
		}
		if got := x.o.gives(); !slices.Equal(got, x.gives) || (got == nil) != (x.gives == nil) {
			t.Errorf("%+v gives %v", x.o, got)
		}
	}
}
