package catalog

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	gherkin "github.com/cucumber/gherkin/go/v26"
)

// Scenario is one check.
type Scenario struct {
	Name  string
	Line  int
	Tags  []string   // without @
	Steps []Sentence // those of the feature's background first
}

// Sentence is what a scenario says after Given, When, Then or And.
type Sentence struct {
	Text string
	Doc  string // the block of text below it; may be empty
}

// Scenarios reads a feature file. A file without scenarios is an error: it checks nothing.
func Scenarios(path string) ([]Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	id := 0
	next := func() string { id++; return strconv.Itoa(id) }
	doc, err := gherkin.ParseGherkinDocument(f, next)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	steps := map[string][]Sentence{} // by the scenario's node
	for _, p := range gherkin.Pickles(*doc, path, next) {
		for _, s := range p.Steps {
			step := Sentence{Text: s.Text}
			if s.Argument != nil && s.Argument.DocString != nil {
				step.Doc = s.Argument.DocString.Content
			}
			steps[p.AstNodeIds[0]] = append(steps[p.AstNodeIds[0]], step)
		}
	}
	var out []Scenario
	seen := map[string]bool{}
	if doc.Feature != nil {
		for _, child := range doc.Feature.Children {
			if child.Scenario == nil {
				continue
			}
			s := Scenario{Name: child.Scenario.Name, Line: int(child.Scenario.Location.Line), Steps: steps[child.Scenario.Id]}
			for _, tag := range append(doc.Feature.Tags, child.Scenario.Tags...) {
				s.Tags = append(s.Tags, strings.TrimPrefix(tag.Name, "@"))
			}
			if seen[s.Name] || len(child.Scenario.Steps) == 0 {
				return nil, fmt.Errorf("%s line %d: scenario %q has no steps, or its name is there twice", path, s.Line, s.Name)
			}
			seen[s.Name] = true
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no scenario in it, so nothing would be checked", path)
	}
	return out, nil
}
