// Package roster holds the state of a class: what is open, who has joined, where each learner is, and the hashes of their
// credentials. All of it is in the cluster's API, in one namespace: a ConfigMap and a Secret of the class, and of each
// learner. The package writes no file. It keeps a cache, which a change reaches when the API server has stored it, and which
// follows what other processes write (Run).
//
// A change is a function of the present value, and is written with the value's resourceVersion: of two writers of one object
// neither undoes the other. Credentials are returned once, when they are made; their SHA-256 hashes are stored, and
// are compared in constant time. The room's code alone is stored as it is, in a Secret: every learner of the room has it, and
// it must be shown again after a restart.
//
// What is stored about a person is a name of their choice, steps, states of checks, causes and minutes. The caller counts and
// limits attempts; this package answers each one.
package roster

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Class is what all learners have in common.
type Class struct {
	Title    string          `json:"title"`
	Labs     []string        `json:"labs"`               // that are offered, TRACK/NAME, in their order
	Open     map[string]bool `json:"open,omitempty"`     // labs
	Released map[string]bool `json:"released,omitempty"` // solutions, by Solution
	Message  string          `json:"message,omitempty"`
	Timer    time.Time       `json:"timer,omitzero"` // when the time is over
	Slide    *Slide          `json:"slide,omitempty"`
	Follow   bool            `json:"follow,omitempty"` // pages of learners show Slide
}

// Slide is a page of a deck.
type Slide struct {
	Deck string `json:"deck"`
	Page int    `json:"page"`
}

// Places where a learner works: a workbench of the class, or a cluster of their own.
const (
	Room = "room"
	Own  = "own"
)

// Learner is one person of the class.
type Learner struct {
	ID       string          `json:"id"` // eight of a-z and 0-9
	Name     string          `json:"name"`
	Place    string          `json:"place"`
	Joined   time.Time       `json:"joined"`
	Open     map[string]bool `json:"open,omitempty"`     // instead of the class's
	Released map[string]bool `json:"released,omitempty"` // instead of the class's
	Message  string          `json:"message,omitempty"`  // instead of the class's
	Help     time.Time       `json:"help,omitzero"`      // when it was asked for
	Minutes  int             `json:"minutes"`            // with the page or the report open
	At       Position        `json:"at"`
	// Progress is the JSON of a session.Progress, as the learner's desk has reported it; nil: none. It must not be changed.
	Progress json.RawMessage `json:"-"`
}

// Position is where a learner is, and what is red there.
type Position struct {
	Lab       string    `json:"lab,omitempty"`
	Step      int       `json:"step"` // from 0 on
	StepTitle string    `json:"stepTitle,omitempty"`
	Steps     int       `json:"steps"`
	Done      int       `json:"done"` // checks
	Todo      int       `json:"todo"`
	Lost      int       `json:"lost"`
	Red       string    `json:"red,omitempty"` // the check that is red longest
	RedSince  time.Time `json:"redSince,omitzero"`
	Cause     string    `json:"cause,omitempty"`
	Solved    int       `json:"solved"` // steps whose solution was used
}

// Solution is the key of a step's solution in Released. Steps count from 0 on; -1 means all steps of the lab.
func Solution(lab string, step int) string {
	if step < 0 {
		return lab
	}
	return lab + "#" + strconv.Itoa(step)
}

// Opened reports whether the learner may work in the lab.
func Opened(c *Class, l *Learner, lab string) bool {
	if !slices.Contains(c.Labs, lab) {
		return false
	}
	if own, ok := l.Open[lab]; ok {
		return own
	}
	return c.Open[lab]
}

// Released reports whether the learner may use the solution of a step, which counts from 0 on.
func Released(c *Class, l *Learner, lab string, step int) bool {
	for _, key := range []string{Solution(lab, step), Solution(lab, -1)} {
		if own, ok := l.Released[key]; ok {
			return own
		}
		if c.Released[key] {
			return true
		}
	}
	return false
}

func (c Class) clone() Class {
	c.Labs, c.Open, c.Released = slices.Clone(c.Labs), maps.Clone(c.Open), maps.Clone(c.Released)
	if c.Slide != nil {
		slide := *c.Slide
		c.Slide = &slide
	}
	return c
}

func (l Learner) clone() Learner {
	l.Open, l.Released = maps.Clone(l.Open), maps.Clone(l.Released)
	return l
}

// Set sets a key of a map that may be nil.
func Set(m map[string]bool, key string, value bool) map[string]bool {
	if m == nil {
		m = map[string]bool{}
	}
	m[key] = value
	return m
}
