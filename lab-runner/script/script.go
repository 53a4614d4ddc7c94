// Package script parses a lab's text and runs the commands in it in one shell. It has no
// dependency on clusters. The caller runs the items in order, and closes the shell.
//
// In the text, a line of a fenced block that starts with "$ " is a command, and a line
// that starts with "> " right after it continues it. Other lines of the block are example
// output. A block's info string may contain the word "fails": each of its commands must end
// with an error. A block whose last line is "^C" has commands that do not terminate: they are
// interrupted once they have printed something and then nothing for Shell.Quiet.
//
// "## Heading" starts a step; its name is the heading as a slug. In a step, comments of the form
// "<!-- WORD: TEXT -->" are not displayed: after "check: NAME" the scenario NAME of the lab's
// feature holds, and did not before the step; "holds: NAME" is a scenario that may have held
// before. Both stand after the step's last command. "hint: TEXT" helps, one after the other;
// "break: COMMAND" makes a check of the step fail. A block whose info string is "quiz" is a
// question: its text, an answer a line ("- [ ] wrong", "- [x] right", exactly one right) and its
// explanation ("> ..."). Errors name the line.
package script

import "fmt"

// Kind of an Item.
type Kind int

// The kinds of Item; the package comment describes them.
const (
	Heading Kind = iota
	Command
	Check
	Holds
)

// Item is a heading, command or check of the text. Holds is a check that may have held before the step.
type Item struct {
	Kind      Kind
	Line      int    // of the text, from 1
	Text      string // the heading, the command (may have several lines), or the scenario's name
	Fails     bool   // the command must end with an error
	Interrupt bool   // the command must be interrupted
}

// Parse returns the items of a text, in order. A text without a command is an error.
func Parse(text string) ([]Item, error) {
	t, err := Read(text)
	if err != nil {
		return nil, err
	}
	items := t.Items()
	for _, item := range items {
		if item.Kind == Command {
			return items, nil
		}
	}
	return nil, fmt.Errorf("no command: a fenced block with a line that starts with %q is one", "$ ")
}
