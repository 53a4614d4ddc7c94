package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

const (
	// kept is how long samples are kept.
	kept = 24 * time.Hour
	// fileName is of an hour's samples; names sort by time.
	fileName = "samples-20060102T15.jsonl"
	// maxSamples bounds the memory where samples come more often than once in half a minute.
	maxSamples = 2 * 24 * 60
	maxLine    = 4 << 20
)

// Store has the samples of a day, in memory and in a file for each hour. A sample is a line that
// is appended: a power cut costs the last one at most. They are not synced, which would wear a
// card; the kernel writes them within a minute.
type Store struct {
	dir string

	mu      sync.Mutex
	samples []Sample
}

// Open reads the samples of the last day. A line that a power cut has cut off is left out.
func Open(dir string, now time.Time) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &Store{dir: dir}
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		if err := s.load(path); err != nil {
			return nil, err
		}
	}
	s.dropOld(now)
	return s, nil
}

func (s *Store) files() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "samples-*.jsonl"))
	sort.Strings(files)
	return files, err
}

func (s *Store) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var sample Sample
		if json.Unmarshal(lines.Bytes(), &sample) == nil && !sample.Time.IsZero() {
			s.samples = append(s.samples, sample)
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// Add appends a sample, and removes what is older than a day.
func (s *Store) Add(sample Sample) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, sample)
	s.dropOld(sample.Time)
	line, err := json.Marshal(sample)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, sample.Time.UTC().Format(fileName)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(append([]byte("\n"), line...), '\n')) // after a line that was cut off, on a new one
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return s.removeFiles(sample.Time)
}

// dropOld removes samples older than a day from memory.
func (s *Store) dropOld(now time.Time) {
	first := sort.Search(len(s.samples), func(i int) bool { return !s.samples[i].Time.Before(now.Add(-kept)) })
	s.samples = s.samples[max(first, len(s.samples)-maxSamples):]
}

func (s *Store) removeFiles(now time.Time) error {
	files, err := s.files()
	oldest := now.UTC().Add(-kept - time.Hour).Format(fileName)
	for _, path := range files {
		if filepath.Base(path) < oldest {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// Samples returns the samples of the last day, the oldest first. They are not changed any more.
func (s *Store) Samples() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.samples[:len(s.samples):len(s.samples)]
}
