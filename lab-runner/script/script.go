// Package script parses a lab's text and runs the commands in it in one shell. It has no
// dependency on clusters. The caller runs the items in order, and closes the shell.
//
// In the text, a line of a fenced block that starts with "$ " is a command, and a line
// that starts with "> " right after it continues it. Other lines of the block are example
// output. A block's info string may contain the word "fails": each of its commands must end
// with an error. A block whose last line is "^C" has commands that do not terminate: they are
// interrupted once they have printed something and then nothing for Shell.Quiet. At a line
// "<!-- check: NAME -->" the scenario NAME of the lab's feature must hold. "## Heading" starts
// a step.
package script

import (
	"fmt"
	"regexp"
	"strings"
)

// Kind of an Item.
type Kind int

// The kinds of Item; the package comment describes them.
const (
	Heading Kind = iota
	Command
	Check
)

// Item is a heading, command or check of the text.
type Item struct {
	Kind      Kind
	Line      int    // of the text, from 1
	Text      string // the heading, the command (may have several lines), or the scenario's name
	Fails     bool   // the command must end with an error
	Interrupt bool   // the command must be interrupted
}

var checkLine = regexp.MustCompile(`^<!--\s*check:\s*(.+?)\s*-->\s*$`)

// Parse returns the items of a text. A text without a command is an error.
func Parse(text string) ([]Item, error) {
	p := parser{}
	for i, line := range strings.Split(text, "\n") {
		p.line(i+1, strings.TrimRight(line, "\r"))
	}
	if p.fence != "" {
		return nil, fmt.Errorf("line %d: the block is not closed", p.opened)
	}
	for _, item := range p.items {
		if item.Kind == Command {
			return p.items, nil
		}
	}
	return nil, fmt.Errorf("no command: a fenced block with a line that starts with %q is one", "$ ")
}

type parser struct {
	items  []Item
	fence  string // of the open block; "" outside of blocks
	opened int
	fails  bool
	first  int // the block's first item
	more   bool
}

func (p *parser) line(n int, line string) {
	trimmed := strings.TrimSpace(line)
	switch {
	case p.fence == "" && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")):
		p.fence, p.opened, p.first, p.more = trimmed[:3], n, len(p.items), false
		p.fails = false
		for _, word := range strings.Fields(trimmed[3:]) {
			p.fails = p.fails || word == "fails"
		}
	case p.fence != "" && trimmed == p.fence:
		p.fence = ""
	case p.fence != "":
		p.inBlock(n, line)
	case strings.HasPrefix(line, "## "):
		p.items = append(p.items, Item{Kind: Heading, Line: n, Text: strings.TrimSpace(line[3:])})
	default:
		if m := checkLine.FindStringSubmatch(trimmed); m != nil {
			p.items = append(p.items, Item{Kind: Check, Line: n, Text: m[1]})
		}
	}
}

func (p *parser) inBlock(n int, line string) {
	if command, ok := strings.CutPrefix(line, "$ "); ok {
		p.items = append(p.items, Item{Kind: Command, Line: n, Text: command, Fails: p.fails})
		p.more = true
		return
	}
	if rest, ok := strings.CutPrefix(line, "> "); ok && p.more {
		p.items[len(p.items)-1].Text += "\n" + rest
		return
	}
	p.more = false
	if line == "^C" {
		for i := p.first; i < len(p.items); i++ {
			p.items[i].Interrupt = true
		}
	}
}
