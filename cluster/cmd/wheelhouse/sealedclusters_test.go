package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wheelhouse/lab-runner/classroom/clusters"
)

// writeRecord writes what is stored of a cluster that was made.
func writeRecord(t *testing.T, s sealedClusters, name string, sealed bool) {
	t.Helper()
	text := fmt.Sprintf(`{"name":%q,"nodes":1,"sealed":%t,"subnets":{"lan":"10.245.1.0/24","pods":"10.246.0.0/16","services":"10.247.0.0/16"}}`, name, sealed)
	if err := os.MkdirAll(filepath.Join(s.stateDir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.stateDir, name, "cluster.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Of the clusters beside a class those alone are its learners' that were made as such, for this class.
func TestWhoseLearnersClusters(t *testing.T) {
	dir := t.TempDir()
	day := sealedClusters{clusterFlags: clusterFlags{name: "day", stateDir: dir}, nodes: 1, class: "uid-1", home: "day"}
	elsewhere := sealedClusters{clusterFlags: clusterFlags{name: "day", stateDir: dir}, nodes: 1, class: "uid-2"} // by --kubeconfig
	for _, name := range []string{"day", "day-l-second", "day-l-abc2345", "day-l-ABC234", "day-l-", "day2-l-abc234", "other-l-abc234"} {
		writeRecord(t, day, name, false)
	}
	writeRecord(t, day, "day-l-sealed", true) // by hand
	for name, s := range map[string]sealedClusters{"day-l-aaaaaa": day, "day-l-bbbbbb": day, "day-l-cccccc": elsewhere} {
		if err := s.claim(name); err != nil {
			t.Fatal(err)
		}
	}
	writeRecord(t, day, "day-l-bbbbbb", true)
	writeRecord(t, day, "day-l-cccccc", true)
	if err := errors.Join(day.Give("day-l-bbbbbb", "ann00001"), day.Give("day-l-bbbbbb", "ann00001")); err != nil {
		t.Error(err)
	}
	if err := day.Give("day-l-bbbbbb", "bob00001"); !errors.Is(err, clusters.ErrGiven) {
		t.Errorf("it is given to another: %v", err)
	}
	anyone := sealedClusters{clusterFlags: day.clusterFlags, home: "day"} // as down has it
	for _, x := range []struct {
		s    sealedClusters
		want map[string]string
	}{
		{day, map[string]string{"day-l-aaaaaa": "", "day-l-bbbbbb": "ann00001"}},
		{anyone, map[string]string{"day-l-aaaaaa": "", "day-l-bbbbbb": "ann00001"}},
		{elsewhere, map[string]string{"day-l-cccccc": ""}},
	} {
		if names, err := x.s.Names(); err != nil || !maps.Equal(names, x.want) {
			t.Errorf("%s at %q has %v: %v", x.s.class, x.s.home, names, err)
		}
	}
	for _, name := range []string{"day", "day-l-second", "day-l-sealed", "day-l-cccccc", "other-l-abc234", "day-l-../../x", ""} {
		_, opened := day.Open(name)
		for what, err := range map[string]error{"down": day.Down(t.Context(), name), "give": day.Give(name, "ann00001"), "open": opened, "claim": day.claim(name)} {
			if err == nil || !strings.Contains(err.Error(), "of a learner") && !strings.Contains(err.Error(), "of another class") {
				t.Errorf("%s of %q: %v", what, name, err)
			}
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 11 {
		t.Errorf("%d are left: %v, %v", len(left), left, err)
	}
}

// A cluster that another process removes meanwhile is nobody's error.
func TestRemovedByAnother(t *testing.T) {
	s := sealedClusters{clusterFlags: clusterFlags{name: "day", stateDir: t.TempDir()}, nodes: 1, class: "uid-1", home: "day"}
	const name = "day-l-aaaaaa"
	dir, trash := filepath.Join(s.stateDir, name), t.TempDir()
	for n := range 300 {
		if err := s.claim(name); err != nil {
			t.Fatal(err)
		}
		writeRecord(t, s, name, true)
		removed := make(chan error, 1)
		go func() { removed <- os.Rename(dir, filepath.Join(trash, fmt.Sprint(n))) }()
		for there := true; there; {
			if err := s.removable(name); err != nil {
				t.Fatal(err)
			}
			_, err := os.Lstat(dir)
			there = err == nil
		}
		if err := <-removed; err != nil {
			t.Fatal(err)
		}
	}
}
