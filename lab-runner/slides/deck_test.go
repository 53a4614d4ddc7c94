package slides_test

import (
	"strings"
	"testing"

	"wheelhouse/lab-runner/slides"
)

const small = `---
title: A deck
track: demo
minutes: 5
---

# First

Text with **weight**.

![three boxes in a row](../drawings/boxes.svg "wide")

Notes:
2 min. Say it.

---

# Second

` + "```" + `
$ kubectl get pods \
>   -o wide
NAME   READY
$ kubectl get rc
---
` + "```" + `

` + "```map\n```" + `

lab: workshop/inspector/up-to-five

<!-- notes
3 min. **Ask:** why?
-->
`

func TestParse(t *testing.T) {
	d, err := slides.Parse(small, "en")
	if err != nil {
		t.Fatal(err)
	}
	if d.Title != "A deck" || d.Track != "demo" || d.Minutes != 5 || len(d.Slides) != 2 {
		t.Fatalf("the deck is %+v", d)
	}
	first, second := &d.Slides[0], &d.Slides[1]
	if first.Title != "First" || first.Minutes != 2 || !strings.Contains(string(first.Notes), "Say it") || first.Line != 7 {
		t.Errorf("the first slide is %+v", first)
	}
	if len(first.Blocks) != 2 || !strings.Contains(string(first.Blocks[0].HTML), "<strong>weight</strong>") ||
		first.Blocks[1].Image != "../drawings/boxes.svg" || !first.Blocks[1].Wide || first.Blocks[1].Alt != "three boxes in a row" {
		t.Errorf("its blocks are %+v", first.Blocks)
	}
	if got := strings.Join(second.Commands(), "; "); got != "kubectl get pods \\\n  -o wide; kubectl get rc" {
		t.Errorf("the commands are %q", got)
	}
	if lines := second.Blocks[0].Lines; len(lines) != 4 || lines[1].Text != "NAME   READY" || lines[3].Text != "---" {
		t.Errorf("the lines are %+v", lines)
	}
	if !second.Has(slides.Map) || second.Lab != "workshop/inspector/up-to-five" || second.Minutes != 3 {
		t.Errorf("the second slide is %+v", second)
	}
}

func TestParseRefuses(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(small, from, to, 1) }
	for name, c := range map[string]struct{ text, says string }{
		"no front matter":         {"# A slide\n", "front matter"},
		"an unknown field":        {change("minutes: 5", "minutes: 5\ncolor: red"), "color"},
		"no title of the deck":    {change("title: A deck\n", ""), "title"},
		"a track like a path":     {change("track: demo", "track: ../demo"), "track"},
		"a slide without a title": {change("# First", "First"), "no title"},
		"raw HTML":                {change("Text with", "<script>alert(1)</script> Text with"), "raw HTML"},
		"a raw block":             {change("Text with", "<div>\n\nText with"), "raw HTML"},
		"HTML in notes":           {change("Say it.", "<b onclick=x>Say it.</b>"), "raw HTML"},
		"an image elsewhere":      {change("../drawings/boxes.svg", "https://example.com/a.svg"), "image"},
		"an image above":          {change("../drawings/boxes.svg", "../../secret.svg"), "image"},
		"two labs":                {change("lab: workshop", "lab: trial/nginx\nlab: workshop"), "two labs"},
		"no lab's name":           {change("lab: workshop/inspector/up-to-five", "lab: inspector"), "lab:"},
		"an open block":           {change("---\n```\n\n```map\n```", "---"), "not closed"},
		"open notes":              {change("\n-->", ""), "no end"},
		"a journey of nothing":    {change("```map", "```journey $(reboot)"), "journey"},
		"too much":                {small + strings.Repeat("x", 1<<20), "bytes"},
	} {
		if _, err := slides.Parse(c.text, "en"); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: the error is %v, want one that says %q", name, err, c.says)
		}
	}
	d, err := slides.Parse(change("Text with", "[here](javascript:alert(1)) Text with"), "en")
	if err != nil || strings.Contains(string(d.Slides[0].Blocks[0].HTML), "javascript:") {
		t.Errorf("a link that runs code stays: %v %+v", err, d)
	}
}
