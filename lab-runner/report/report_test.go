package report

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSummaryCountsAndDecides(t *testing.T) {
	cases := []struct {
		name     string
		outcomes []Outcome
		ok       bool
	}{
		{"all passed", []Outcome{Passed, Passed}, true},
		{"one failed", []Outcome{Passed, Failed}, false},
		{"one not reached", []Outcome{Passed, NotReached}, false},
		{"nothing checked", nil, false},
	}
	for _, c := range cases {
		var out bytes.Buffer
		r := New(&out)
		r.Lab("first", "A lab")
		for _, o := range c.outcomes {
			r.Add(Result{Lab: "first", Name: "check", Tags: []string{"W1"}, Outcome: o, Detail: "wanted: x\nseen:   y"})
		}
		if err := r.Summary(); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: colours where there is no terminal", c.name)
		}
	}
}

func TestOutputOfCommandsIsNotGluedToLines(t *testing.T) {
	var out bytes.Buffer
	r := New(&out)
	r.Command("printf x")
	if _, err := r.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.Waiting("a thing", "another", time.Now())
	r.Add(Result{Name: "check", Outcome: Passed})
	if want := "$ printf x\nx\n  PASS check (0.0 s)\n"; out.String() != want {
		t.Errorf("%q, wanted %q", out.String(), want)
	}
}

func TestJUnit(t *testing.T) {
	r := New(&bytes.Buffer{})
	r.Lab("first", "A lab")
	r.Add(Result{Lab: "first", Name: "good", Tags: []string{"W1"}, Took: time.Second})
	r.Add(Result{Lab: "first", Name: "bad", Outcome: Failed, Detail: "wanted: a < b\nseen:   c"})
	r.Add(Result{Lab: "first", Name: "late", Outcome: NotReached})
	path := filepath.Join(t.TempDir(), "junit.xml")
	if err := r.JUnit(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suites []junitSuite `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(got.Suites) != 1 || got.Suites[0].Tests != 3 || got.Suites[0].Failures != 1 || got.Suites[0].Skipped != 1 {
		t.Fatalf("%s", text)
	}
	if c := got.Suites[0].Cases; c[0].Name != "W1  good" || c[1].Failure == nil || !strings.Contains(c[1].Failure.Text, "a < b") || c[2].Skipped == nil {
		t.Errorf("%s", text)
	}
}
