package view

import (
	"context"
	"io"
	"os/exec"
	"slices"

	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/script"
)

// Library has the labs and what the learner has done of them.
type Library interface {
	// Entries returns the labs in the order of their tracks.
	Entries() ([]Entry, error)
	// Open sets a lab up, or resumes it at the step that the learner was at. What it does is
	// written to out.
	Open(ctx context.Context, id string, out io.Writer) (Lab, error)
}

// Entry is a lab in the list of labs.
type Entry struct {
	ID, Title, About string // ID is TRACK/NAME
	Minutes          int    // that a learner takes
	Requires         []string
	Done, Steps      int
	Current          bool // the lab that the learner was at last
}

// Lab is a lab that is done by hand. The methods may be called from several goroutines.
type Lab interface {
	// Watch calls changed with the state at first and after each change of it, which changes of
	// the cluster cause, until ctx is done. It reports what happens in the lab's namespace to
	// drawn, unless that is nil.
	Watch(ctx context.Context, changed func(State), drawn func(clustermap.Change)) error
	// Do carries an action out and writes to out what the commands of it print.
	Do(ctx context.Context, a Action, out io.Writer) (Result, error)
	// Run runs a command in the lab's own shell, which keeps variables, and returns its exit
	// status. When ctx is done, the command is killed, and the shell begins again.
	Run(ctx context.Context, command script.Item, out io.Writer) (status int, err error)
	// Interrupt interrupts the command of Run.
	Interrupt()
	// Shell returns an interactive shell with the variables of the lab. The caller sets its
	// input and output.
	Shell() (*exec.Cmd, error)
	// Close ends the lab's own shell.
	Close()
}

// Verb is what an Action does.
type Verb string

// The verbs. Skip is Next while a check is still to do.
const (
	Next   Verb = "next"
	Skip   Verb = "skip"
	Back   Verb = "back"
	Hint   Verb = "hint"
	Why    Verb = "why"
	Solve  Verb = "solve"
	Reset  Verb = "reset"
	Goto   Verb = "goto"
	Answer Verb = "answer"
	Check  Verb = "check" // evaluate now, with the reasons of what is to do
)

// Action is what a learner asks of a lab.
type Action struct {
	Verb     Verb
	Step     int // of Goto, from 0
	Question int // of Answer, from 0
	Choice   int // of Answer, from 0
}

// Result is what an action led to.
type Result struct {
	State State
	Text  string // to be shown, such as the cause that Why found; may be empty
}

// State is what is shown of a lab: its current step and how far the learner is.
type State struct {
	ID, Title string
	Namespace string
	Step      int // the current one, from 0
	Steps     []Mark
	Blocks    []Block
	Checks    []CheckState
	Hints     []string // those that were asked for
	HintsOf   int      // that the step has
}

// Mark is how far a step or a check is.
type Mark struct {
	Title string
	State string // "todo", "done", "solved", "skipped"
}

// CheckState is a check of the current step.
type CheckState struct {
	Name   string
	State  string // "todo", "done", "lost": was done and does not hold any more
	Reason string // why it is to do; empty until asked for
}

// Block is a part of a step's text.
type Block struct {
	Markdown string
	Commands []script.Item // of Markdown, in its order
	Question *Question     // instead of Markdown
}

// Question is one of a quiz.
type Question struct {
	Text        string
	Answers     []string
	Given       int // -1: not answered
	Right       int // -1 until it is answered
	Explanation string
}

// open reports whether a check is still to do.
func (s *State) open() (n int) {
	for _, c := range s.Checks {
		if c.State != "done" {
			n++
		}
	}
	return n
}

// answered reports whether a question of the step, from 0, was answered rightly.
func (s *State) answered(question int) bool {
	for _, b := range s.Blocks {
		if b.Question == nil {
			continue
		}
		if question == 0 {
			return b.Question.rightly()
		}
		question--
	}
	return false
}

// asks reports whether a question of the step has not been answered rightly.
func (s *State) asks() bool {
	return slices.ContainsFunc(s.Blocks, func(b Block) bool { return b.Question != nil && !b.Question.rightly() })
}

func (q *Question) rightly() bool { return q.Given >= 0 && q.Given == q.Right }
