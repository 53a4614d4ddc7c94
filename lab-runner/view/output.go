package view

import (
	"bytes"
	"strings"

	"wheelhouse/lab-runner/render"
)

// What is kept of the output of commands.
const (
	linesKept = 2000
	lineBytes = 4000
)

// output is what commands have printed: text of the lab's programs, so it is shown, and is no
// command to the terminal. Its size is bounded.
type output struct {
	lines []outputLine
	open  []byte // the last line, until it ends
	up    int    // rows that the learner has scrolled up from the end
	width int    // columns of the widest line that the last command has printed
}

type outputLine struct{ code, text string }

// write adds what a command printed.
func (o *output) write(b []byte) {
	o.open = append(o.open, b...)
	rest := o.open
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok && len(rest) < lineBytes {
			break
		}
		if !ok {
			line, after = rest[:lineBytes], rest[lineBytes:]
		}
		o.add(plain, string(bytes.TrimSuffix(line, []byte("\r"))))
		o.width = max(o.width, render.Width(o.lines[len(o.lines)-1].text))
		rest = after
	}
	o.open = append([]byte(nil), rest...) // what was printed before is not kept
	o.width = max(o.width, render.Width(render.Visible(string(o.open))))
}

// add adds a line.
func (o *output) add(code, line string) {
	if len(line) > lineBytes {
		line = line[:lineBytes] + " ..."
	}
	o.lines = append(o.lines, outputLine{code, render.Visible(line)})
	if len(o.lines) > linesKept {
		o.lines = o.lines[len(o.lines)-linesKept:]
	}
}

// begin adds a command, whose output follows.
func (o *output) begin(command string) {
	o.say(boldCyan, "$ "+command)
	o.width = 0
}

// say ends the open line and adds lines of the view itself.
func (o *output) say(code, s string) {
	if len(o.open) > 0 {
		o.add(plain, string(o.open))
		o.open = nil
	}
	for line := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		o.add(code, line)
	}
	o.up = 0
}

func (o *output) empty() bool { return len(o.lines) == 0 && len(o.open) == 0 }

// rows returns the rows of the output that are shown, at most height, and whether others are above them. No more lines are
// laid out than that takes, and those of a table.
func (o *output) rows(width, height int) (shown []row, above bool) {
	all := o.lines
	if len(o.open) > 0 {
		all = append(all[:len(all):len(all)], outputLine{plain, render.Visible(string(o.open))})
	}
	var out []row // from the last to the first
	for end := len(all); end > 0 && len(out) <= height+o.up; {
		start := blockStart(all, end)
		texts := make([]string, 0, end-start)
		for _, l := range all[start:end] {
			texts = append(texts, l.text)
		}
		texts = render.Narrow(texts, max(width, 1))
		for i := len(texts) - 1; i >= 0; i-- {
			parts := render.Divide(texts[i], max(width, 1))
			for j := len(parts) - 1; j >= 0; j-- {
				out = append(out, row{{all[start+i].code, parts[j]}})
			}
		}
		end = start
	}
	o.up = max(0, min(o.up, len(out)-height))
	out = out[o.up:]
	above = len(out) > height
	out = out[:min(height, len(out))]
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out, above
}

// blockLines is how many lines are taken for one table at most.
const blockLines = 50

// blockStart returns where the lines that one command printed begin, of which the last is before end: they are laid out
// together.
func blockStart(lines []outputLine, end int) int {
	start := end - 1
	for start > 0 && end-start < blockLines && lines[start-1].code == lines[start].code && lines[start].code == plain {
		start--
	}
	return start
}
