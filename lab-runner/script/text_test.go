package script

import (
	"reflect"
	"strings"
	"testing"
)

const aLab = `# A lab

Before the steps.

## Up to five!
<!-- a comment
for the author -->
Prose one.

` + "```" + `
$ echo one \
> two
one two
` + "```" + `

Prose two.
<!-- check: it prints -->
<!-- holds: it stands -->
<!-- hint: look
at it -->
<!-- hint: echo one -->
<!-- break: rm x -->

` + "```quiz" + `
Which one
is right?
- [ ] this
- [x] that
> Because
> of it.
` + "```" + `

## The dog's end
` + "```fails" + `
$ false
` + "```" + `
`

func TestRead(t *testing.T) {
	got, err := Read(aLab)
	if err != nil {
		t.Fatal(err)
	}
	code := "```\n$ echo one \\\n> two\none two\n```"
	want := &Text{Title: "A lab", Intro: "Before the steps.", Steps: []Step{{
		Name: "up-to-five", Title: "Up to five!", Line: 5,
		Blocks: []Block{
			{Kind: Prose, Text: "Prose one."},
			{Kind: Code, Text: code, Commands: []int{0}},
			{Kind: Prose, Text: "Prose two."},
			{Kind: Quiz},
		},
		Commands: []Item{{Kind: Command, Line: 11, Text: "echo one \\\ntwo"}},
		Checks:   []Item{{Kind: Check, Line: 17, Text: "it prints"}, {Kind: Holds, Line: 18, Text: "it stands"}},
		Hints:    []string{"look at it", "echo one"},
		Break:    "rm x",
		Quiz:     []Question{{Line: 24, Text: "Which one is right?", Answers: []string{"this", "that"}, Right: 1, Explanation: "Because of it."}},
	}, {
		Name: "the-dogs-end", Title: "The dog's end", Line: 33,
		Blocks:   []Block{{Kind: Code, Text: "```fails\n$ false\n```", Commands: []int{0}}},
		Commands: []Item{{Kind: Command, Line: 35, Text: "false", Fails: true}},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if md, want := got.Steps[0].Markdown(), "## Up to five!\n\nProse one.\n\n"+code+"\n\nProse two.\n"; md != want {
		t.Errorf("displayed: %q, want %q", md, want)
	}
}

func TestTextsThatAreRefused(t *testing.T) {
	quiz := func(lines ...string) string { return "## A\n```quiz\n" + strings.Join(lines, "\n") + "\n```\n" }
	for _, c := range []struct{ text, want string }{
		{"## A\n```\n$ echo open\n", "line 2: the block is not closed"},
		{"## A\n<!-- hint: open\n", "line 2: the comment is not closed"},
		{"```\n$ echo\n```\n", "line 2: a command before the first step"},
		{"<!-- check: x -->\n", "line 1: 'check:' before the first step"},
		{"## A\n<!-- check: x -->\n```\n$ echo\n```\n", "line 4: a command after the check of line 2"},
		{"## A\n\n## a\n", "line 3: the step of line 1 is named a as well"},
		{"## ...\n", "line 1: the heading \"...\" has neither"},
		{"## A\n<!-- chek: x -->\n", "line 2: a comment may not begin with 'chek:'"},
		{"## A\n<!-- hint: -->\n", "line 2: 'hint:' has no text"},
		{"## A\nx <!-- hint: y -->\n", "line 2: a comment stands on lines of its own"},
		{"## A\n<!-- hint: y --> x\n", "line 2: text after a comment"},
		{"## A\n<!-- break: a -->\n<!-- break: b -->\n", "line 3: a second 'break:'"},
		{quiz("Q", "- [x] a", "> e"), "line 6: the question of line 2 has not two answers"},
		{quiz("Q", "- [x] a", "- [x] b"), "line 5: a second right answer"},
		{quiz("Q", "- [ ] a", "- [ ] b", "> e"), "one of them right"},
		{quiz("Q", "- [x] a", "- [ ] b"), "has no explanation"},
		{quiz("Q", "- [x] a", "more"), "line 5: want an answer"},
		{quiz("- [x] a", "- [ ] b", "> e"), "has no text"},
		{quiz("Q", "- [x] a", "> e", "- [ ] b"), "line 6: an answer after the explanation"},
	} {
		if _, err := Read(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}
