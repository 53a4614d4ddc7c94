package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func sample(at time.Time, cpu int64) Sample {
	return Sample{
		Time: at, Nodes: map[string]Use{"pi-1": {cpu, 500 << 20}}, Room: map[string]Use{"pi-1": {4000, 925 << 20}, "pi-2": {4000, 925 << 20}},
		Pods: map[string]Use{"default/<web>": {10, 5 << 20}, "default/large": {1, 50 << 20}},
	}
}

func TestStoreKeepsADay(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, noon)
	if err != nil {
		t.Fatal(err)
	}
	for at := noon.Add(-30 * time.Hour); !at.After(noon); at = at.Add(30 * time.Minute) {
		if err := s.Add(sample(at, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Samples()); n != 49 {
		t.Errorf("%d samples in memory, want those of 24 hours", n)
	}
	files, err := s.files()
	if err != nil || len(files) != 26 {
		t.Errorf("%d files, %v", len(files), err)
	}
	again, err := Open(dir, noon)
	if err != nil || len(again.Samples()) != 49 || again.Samples()[48].Nodes["pi-1"].CPU != 1 {
		t.Errorf("after a restart %d samples, %v", len(again.Samples()), err)
	}
}

func TestStoreAfterAPowerCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, noon.Format(fileName))
	if err := os.WriteFile(path, []byte(`{"t":"2026-11-29T12:00:00Z","n":{"pi`), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, noon)
	if err != nil || len(s.Samples()) != 0 {
		t.Fatalf("%v, %v", s.Samples(), err)
	}
	if err := s.Add(sample(noon, 7)); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(dir, noon); err != nil || len(again.Samples()) != 1 {
		t.Errorf("the sample after the one that was cut off is lost: %v", err)
	}
}
