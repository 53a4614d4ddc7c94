package slides_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/slides"
)

func TestDecksOfTheTree(t *testing.T) {
	labs, err := catalog.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	files := os.DirFS("../../slides")
	found, err := slides.Lint(files, labs)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
	tracks, err := slides.Tracks(files)
	if err != nil || len(tracks) == 0 {
		t.Fatalf("the tracks are %v: %v", tracks, err)
	}
	for _, track := range tracks {
		for _, lang := range slides.Languages(files, track) {
			d, err := slides.Read(files, track, lang)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(d.Slides); n < 15 || n > 30 {
				t.Errorf("%s (%s) has %d slides, want 15 to 30", track, lang, n)
			}
		}
	}
}

// TestLint finds each fault in a deck that has one.
func TestLint(t *testing.T) {
	labs, err := catalog.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 100"><title>t</title>`
	words := strings.Repeat("word ", 20)
	right := strings.ReplaceAll(strings.ReplaceAll(small, "Say it.", words), "why?", words)
	right = strings.Replace(right, "$ kubectl get pods \\\n>   -o wide", "$ kubectl get pod", 1)
	right = strings.Replace(right, "$ kubectl get rc\n", "", 1)
	for name, c := range map[string]struct{ from, to, drawing, says string }{
		"nothing":             {drawing: svg + `<text font-size="22">a</text></svg>`},
		"times":               {from: "minutes: 5", to: "minutes: 6", says: "take 5 minutes"},
		"no time":             {from: "2 min.", to: "", says: "do not begin"},
		"short notes":         {from: words, to: "Say it.", says: "words"},
		"no such lab":         {from: "workshop/inspector", to: "workshop/inspectre", says: "inspectre"},
		"no such step":        {from: "up-to-five", to: "up-to-six", says: "up-to-six"},
		"a command not in it": {from: "$ kubectl get pod\n", to: "$ kubectl get pods\n", says: `"kubectl get pods"`},
		"of another step":     {from: "up-to-five", to: "down-to-two", says: "does not have the command"},
		"a map without a lab": {from: "lab: workshop/inspector/up-to-five", to: "", says: "needs a lab"},
		"no drawing":          {from: "boxes.svg", to: "circles.svg", says: "no drawing"},
		"no description":      {from: "three boxes in a row", to: "boxes", says: "no description"},
		"a script":            {drawing: svg + `<script>alert(1)</script></svg>`, says: "script"},
		"an event":            {drawing: svg + `<g onload="alert(1)"/></svg>`, says: "onload"},
		"another site":        {drawing: svg + `<use href="https://example.com/a.svg#b"/></svg>`, says: "example.com"},
		"small letters":       {drawing: svg + `<text font-size="12">a</text></svg>`, says: "letters of size 12"},
		"no title":            {drawing: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 100"></svg>`, says: "a title"},
		"not closed":          {drawing: svg, says: "EOF"},
	} {
		text := right
		if c.from != "" {
			if text = strings.Replace(right, c.from, c.to, 1); text == right {
				t.Fatalf("%s: %q is not in the deck", name, c.from)
			}
		}
		if c.drawing == "" {
			c.drawing = svg + "</svg>"
		}
		found, err := slides.Lint(fstest.MapFS{"demo/deck.md": {Data: []byte(text)}, "drawings/boxes.svg": {Data: []byte(c.drawing)}}, labs)
		all := strings.Join(found, "\n")
		if err != nil || (c.says == "") != (len(found) == 0) || !strings.Contains(all, c.says) {
			t.Errorf("%s: found %q (%v), want %q", name, all, err, c.says)
		}
	}
}
