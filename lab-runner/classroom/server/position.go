package server

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"wheelhouse/lab-runner/classroom/roster"
)

// pageState is what the board takes of a view. It comes from the learner's desk, so that any of it may be false.
type pageState struct {
	Lab   string `json:"lab"`
	Step  int    `json:"step"`
	Steps []struct {
		Title string `json:"title"`
		State string `json:"state"`
	} `json:"steps"`
	Checks []struct {
		Name   string    `json:"name"`
		State  string    `json:"state"`
		Since  time.Time `json:"since"`
		Reason *struct {
			Seen  string `json:"seen"`
			Event string `json:"event"`
			Cause string `json:"cause"`
		} `json:"reason"`
	} `json:"checks"`
}

// position returns where the learner is by a view, nil if it is none. A check is red if it was lost, or is not met though
// something was tried.
func position(view json.RawMessage, now time.Time) *roster.Position {
	var v pageState
	if json.Unmarshal(view, &v) != nil {
		return nil
	}
	p := &roster.Position{Lab: plain(v.Lab, 128), Steps: min(len(v.Steps), 999)}
	if v.Step >= 0 && v.Step < p.Steps {
		p.Step, p.StepTitle = v.Step, plain(v.Steps[v.Step].Title, 120)
	}
	for _, s := range v.Steps {
		if s.State == "solved" {
			p.Solved++
		}
	}
	for _, c := range v.Checks {
		switch c.State {
		case "done":
			p.Done++
			continue
		case "lost":
			p.Lost++
		default:
			p.Todo++
			if c.Reason == nil {
				continue
			}
		}
		since := c.Since
		if since.IsZero() || since.After(now) {
			since = now
		}
		if p.Red != "" && !since.Before(p.RedSince) {
			continue
		}
		p.Red, p.RedSince, p.Cause = plain(c.Name, 200), since.UTC().Truncate(time.Second), ""
		if r := c.Reason; r != nil {
			for _, cause := range []string{r.Cause, r.Event, r.Seen} {
				if p.Cause = plain(cause, 200); p.Cause != "" {
					break
				}
			}
		}
	}
	return p
}

// finding is the cause that why has named for a step.
type finding struct {
	lab   string
	step  int
	cause string
}

// causeOf returns the cause in an answer to why: a word for the first thing that is broken, or "".
func causeOf(answer json.RawMessage) string {
	var a struct {
		Cause string `json:"cause"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return ""
	}
	return plain(a.Cause, 200)
}

// on is the position with the cause that why has found, which says more than the last event, as long as the same step is red.
func (f finding) on(p *roster.Position) *roster.Position {
	if p == nil || p.Red == "" || f.cause == "" || f.lab != p.Lab || f.step != p.Step {
		return p
	}
	with := *p
	with.Cause = f.cause
	return &with
}

// explained keeps what why has found of the learner's step, for the board.
func (k *keeper) explained(answer json.RawMessage) {
	cause := causeOf(answer)
	if cause == "" {
		return
	}
	k.mu.Lock()
	if at := position(k.view, time.Now()); at != nil {
		k.found = finding{at.Lab, at.Step, cause}
		k.unstored.at = k.found.on(at)
	}
	k.mu.Unlock()
	k.wake()
}

// plain returns the text in one line without control and format characters, so that no terminal and no table takes a part
// of it for its own.
func plain(text string, most int) string {
	if len(text) > 8*most {
		text = text[:8*most]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " ..."
	}
	return text
}
