// Package report prints the progress and the results of a run of labs, and writes them as a
// JUnit file. It evaluates nothing.
package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"wheelhouse/lab-runner/render"
)

// Outcome of a Result.
type Outcome int

// The outcomes: a check or command passed, failed, or did not run.
const (
	Passed Outcome = iota
	Failed
	NotReached
)

// Result is the outcome of a check, or of a command that failed.
type Result struct {
	Lab     string
	Name    string
	Tags    []string
	Outcome Outcome
	Detail  string // of a failure, lines
	Took    time.Duration
}

func (r Result) title() string {
	if len(r.Tags) == 0 {
		return render.Visible(r.Name)
	}
	return render.Visible(strings.Join(r.Tags, " ") + "  " + r.Name)
}

// Report prints progress and collects the results. Its methods are safe for concurrent use.
type Report struct {
	out         io.Writer
	shown       *render.Writer // of out, for the output of commands
	color       bool
	mu          sync.Mutex
	results     []Result
	labs        []string
	started     time.Time
	waiting     bool      // the last line is one of progress, without a newline
	lastWaiting time.Time // when Waiting last printed to an output that is no terminal
	column0     bool
}

// New returns a Report that prints to out: with colours and progress lines if it is a
// terminal, plain if not.
func New(out io.Writer) *Report {
	r := &Report{out: out, shown: render.NewWriter(out), started: time.Now(), column0: true}
	if f, ok := out.(*os.File); ok {
		r.color = term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
	}
	return r
}

// paint returns a text in a color. What a terminal would obey in it is shown.
func (r *Report) paint(code, text string) string {
	text = render.Visible(text)
	if !r.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// print prints on a new line, and overwrites a line of progress.
func (r *Report) print(format string, args ...any) {
	if r.waiting {
		fmt.Fprint(r.out, "\r\x1b[K")
		r.waiting = false
	}
	if !r.column0 {
		fmt.Fprintln(r.out)
		r.column0 = true
	}
	fmt.Fprintf(r.out, format, args...)
}

// Lab prints the heading of a lab.
func (r *Report) Lab(name, title string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.labs = append(r.labs, name)
	r.print("\n%s\n", r.paint("1", "== "+name+": "+title))
}

// Info prints a line about the runner's work.
func (r *Report) Info(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print("%s\n", r.paint("2", fmt.Sprintf(format, args...)))
}

// Heading prints a heading of the text.
func (r *Report) Heading(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print("\n%s\n", r.paint("1", "-- "+text))
}

// Command prints a command before it runs.
func (r *Report) Command(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print("%s\n", r.paint("36", "$ "+strings.ReplaceAll(text, "\n", "\n> ")))
}

// Write prints the output of a command.
func (r *Report) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(b) > 0 {
		_, _ = r.shown.Write(b) // a terminal that is gone is none to tell
		r.column0 = b[len(b)-1] == '\n'
	}
	return len(b), nil
}

// Waiting shows what a check waits for: on a terminal in one line that is overwritten, else
// every ten seconds.
func (r *Report) Waiting(wanted, seen string, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, _, _ := strings.Cut(strings.TrimSpace(seen), "\n")
	line := render.Visible(fmt.Sprintf("  ... %s; now: %s (%.0f s)", strings.ReplaceAll(wanted, "\n", " "), first, time.Since(since).Seconds()))
	if !r.color {
		if time.Since(r.lastWaiting) > 10*time.Second {
			if !r.lastWaiting.IsZero() {
				r.print("%s\n", line)
			}
			r.lastWaiting = time.Now()
		}
		return
	}
	if width := 110; len(line) > width {
		line = line[:width]
	}
	if !r.column0 {
		fmt.Fprintln(r.out)
		r.column0 = true
	}
	fmt.Fprintf(r.out, "\r\x1b[K%s", line)
	r.waiting = true
}

// Add prints and collects a result.
func (r *Report) Add(res Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, res)
	r.lastWaiting = time.Time{}
	switch res.Outcome {
	case Passed:
		r.print("%s %s (%.1f s)\n", r.paint("32", "  PASS"), res.title(), res.Took.Seconds())
	case Failed:
		r.print("%s %s (%.1f s)\n%s\n", r.paint("31", "  FAIL"), res.title(), res.Took.Seconds(), indented(res.Detail))
	case NotReached:
		r.print("%s %s\n", r.paint("33", "  ----"), res.title()+": not reached")
	}
}

func indented(text string) string {
	return "         " + strings.ReplaceAll(render.Visible(strings.TrimSpace(text)), "\n", "\n         ")
}

// Summary prints the summary and returns an error unless every check passed and there was at
// least one.
func (r *Report) Summary() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.print("\n%s\n", r.paint("1", "== Summary"))
	var total [3]int
	for _, lab := range r.labs {
		var n [3]int
		for _, res := range r.results {
			if res.Lab == lab {
				n[res.Outcome]++
				total[res.Outcome]++
			}
		}
		r.print("  %-14s %2d passed, %d failed, %d not reached\n", lab, n[Passed], n[Failed], n[NotReached])
	}
	for _, res := range r.results {
		if res.Outcome == Failed {
			r.print("  %s %s: %s\n", r.paint("31", "failed:"), res.Lab, res.title())
		}
	}
	r.print("  %d labs, %d checks passed, %d failed, %d not reached, in %.0f s\n", len(r.labs), total[Passed], total[Failed], total[NotReached], time.Since(r.started).Seconds())
	switch {
	case total[Failed] > 0 || total[NotReached] > 0:
		return fmt.Errorf("%d of %d checks did not pass", total[Failed]+total[NotReached], total[Passed]+total[Failed]+total[NotReached])
	case total[Passed] == 0:
		return errors.New("nothing was checked")
	}
	return nil
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the results as JUnit XML, one suite for each lab.
func (r *Report) JUnit(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []junitSuite
	}{}
	for _, lab := range r.labs {
		s := junitSuite{Name: lab}
		var took time.Duration
		for _, res := range r.results {
			if res.Lab != lab {
				continue
			}
			c := junitCase{Class: lab, Name: res.title(), Time: fmt.Sprintf("%.3f", res.Took.Seconds())}
			first, _, _ := strings.Cut(res.Detail, "\n")
			switch res.Outcome {
			case Failed:
				c.Failure = &junitMessage{Message: first, Text: res.Detail}
				s.Failures++
			case NotReached:
				c.Skipped = &junitMessage{Message: "not reached"}
				s.Skipped++
			}
			took += res.Took
			s.Tests++
			s.Cases = append(s.Cases, c)
		}
		s.Time = fmt.Sprintf("%.3f", took.Seconds())
		all.Suites = append(all.Suites, s)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append([]byte(xml.Header), append(text, '\n')...), 0o644); err != nil {
		return fmt.Errorf("writing the JUnit file: %w", err)
	}
	return nil
}
