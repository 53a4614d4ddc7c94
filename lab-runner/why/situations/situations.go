// Package situations reads the broken and healthy situations that package why is tested with: on recorded facts in its own
// tests, and on a cluster in features. It is for tests alone.
package situations

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"

	"wheelhouse/lab-runner/why"
)

// Situation is a state that objects are brought into, with the explanation that must be given of it.
type Situation struct {
	Name      string   `json:"situation"`
	Ask       string   `json:"ask"`    // KIND/NAME
	Hop       string   `json:"hop"`    // the hop that is broken
	State     string   `json:"state"`  // default broken; fine has no hop and no reason
	Reason    any      `json:"reason"` // one, or a list of which any
	Says      []string `json:"says"`   // what the text, the details or the remedy contain
	Then      []string `json:"then"`   // shell commands after the objects were created
	Manifests []map[string]any
}

// NS stands for the situation's namespace in manifests and texts.
const NS = "${NS}"

// Load reads all files of a directory. Each begins a situation with a document that has the field situation; the documents
// that follow are its objects.
func Load(dir string) ([]*Situation, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var all []*Situation
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		docs := yaml.NewYAMLToJSONDecoder(bytes.NewReader(text))
		for {
			var doc map[string]any
			if err := docs.Decode(&doc); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if _, begins := doc["situation"]; begins {
				all = append(all, begin(doc))
			} else if len(doc) > 0 {
				last := all[len(all)-1]
				last.Manifests = append(last.Manifests, doc)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no situations", dir)
	}
	return all, nil
}

func begin(doc map[string]any) *Situation {
	word := func(field string) string { return strings.TrimSpace(fmt.Sprint(doc[field])) }
	list := func(field string) []string {
		var out []string
		items, _ := doc[field].([]any)
		for _, i := range items {
			out = append(out, fmt.Sprint(i))
		}
		return out
	}
	s := &Situation{Name: word("situation"), Ask: word("ask"), State: "broken", Reason: doc["reason"], Says: list("says"), Then: list("then")}
	if doc["state"] != nil {
		s.State = word("state")
	}
	if doc["hop"] != nil {
		s.Hop = word("hop")
	}
	return s
}

// Reasons are those of which one must be given; none for what is fine.
func (s *Situation) Reasons() []string {
	switch r := s.Reason.(type) {
	case string:
		return []string{r}
	case []any:
		var out []string
		for _, i := range r {
			out = append(out, fmt.Sprint(i))
		}
		return out
	}
	return nil
}

// Namespace is the situation's own.
func (s *Situation) Namespace() string { return "why-" + s.Name }

// Target is what is asked about.
func (s *Situation) Target() (why.Target, error) {
	return why.ParseTarget([]string{strings.ReplaceAll(s.Ask, NS, s.Namespace())})
}

// ErrNotYet is the error of an explanation that names no wrong cause, and not the right one either: the state has not been
// reached.
var ErrNotYet = errors.New("not yet")

// Check compares an explanation with the one that must be given.
func (s *Situation) Check(e *why.Explanation) error {
	last := e.Last()
	if s.State == "fine" && e.State != why.Fine || string(e.State) != s.State || s.State != "fine" && (last.Name != s.Hop || !slices.Contains(s.Reasons(), last.Reason)) {
		text := fmt.Sprintf("state %s, hop %q, reason %s: %s; want state %s, hop %q, reason %v", e.State, last.Name, last.Reason, last.Text, s.State, s.Hop, s.Reason)
		if e.State == why.Broken {
			return errors.New("blamed wrongly: " + text + "\n" + strings.Join(last.Details, "\n"))
		}
		return fmt.Errorf("%w: %s", ErrNotYet, text)
	}
	var said []string
	for _, h := range e.Hops {
		said = append(append(said, h.Text), h.Details...)
	}
	all := strings.Join(append(said, e.Do), "\n")
	for _, want := range s.Says {
		if want = strings.ReplaceAll(want, NS, s.Namespace()); !strings.Contains(all, want) {
			return fmt.Errorf("%w: it does not say %q:\n%s", ErrNotYet, want, all)
		}
	}
	for i, h := range e.Hops {
		if h.State == why.Broken && i != len(e.Hops)-1 {
			return fmt.Errorf("hop %s is broken, and the explanation goes on", h.Name)
		}
	}
	if s.State != "fine" && e.Do == "" {
		return errors.New("it says nothing to do")
	}
	return nil
}
