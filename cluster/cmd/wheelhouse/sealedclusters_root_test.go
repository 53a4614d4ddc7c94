//go:build !quick

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What was begun and has no record yet is no cluster of anybody, and what was never begun is removed already.
func TestBegunClusters(t *testing.T) {
	s := sealedClusters{clusterFlags: clusterFlags{name: "day", stateDir: t.TempDir()}, nodes: 1, class: "uid-1", home: "day"}
	if err := os.Mkdir(filepath.Join(s.stateDir, "day-l-aaaaaa"), 0o700); err != nil {
		t.Fatal(err)
	}
	if names, err := s.Names(); err != nil || len(names) > 0 {
		t.Errorf("%v, %v", names, err)
	}
	if err := s.claim("day-l-aaaaaa"); err != nil {
		t.Error(err)
	}
	if names, err := s.Names(); err != nil || !slices.Equal(slices.Collect(maps.Keys(names)), []string{"day-l-aaaaaa"}) {
		t.Errorf("%v, %v", names, err)
	}
}
