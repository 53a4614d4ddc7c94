package server

import (
	"cmp"
	"encoding/json"
	"fmt"
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
			Wanted string `json:"wanted"` // of the lab's text; what was seen instead may be output
			Event  string `json:"event"`
			Cause  string `json:"cause"`
		} `json:"reason"`
	} `json:"checks"`
}

// reds are the checks that are red, by redKey, and since when. A desk says since when a check is lost, and not since when one is
// not met.
type reds map[string]time.Time

// mostReds bounds what is kept of a view.
const mostReds = 200

func redKey(lab string, step int, check string) string {
	return fmt.Sprintf("%s#%d#%s", lab, step, check)
}

// redsOf returns what the roster has of a position, for a process that was started again.
func redsOf(p *roster.Position) reds {
	if p.Red == "" || p.RedSince.IsZero() {
		return nil
	}
	return reds{redKey(p.Lab, p.Step, p.Red): p.RedSince}
}

// position returns where the learner is by a view, nil if it is none, and what is red now. A check is red if it was lost, or is
// not met though something was tried. before is what was red by the last view.
func position(view json.RawMessage, before reds, now time.Time) (*roster.Position, reds) {
	var v pageState
	if json.Unmarshal(view, &v) != nil {
		return nil, before
	}
	red := reds{}
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
		name := plain(c.Name, 200)
		key := redKey(p.Lab, p.Step, name)
		since := c.Since
		if since.IsZero() || since.After(now) {
			since = cmp.Or(before[key], now)
		}
		since = since.UTC().Truncate(time.Second)
		if len(red) < mostReds {
			red[key] = since
		}
		if p.Red != "" && !since.Before(p.RedSince) {
			continue
		}
		p.Red, p.RedSince, p.Cause = name, since, ""
		if r := c.Reason; r != nil {
			p.Cause = plain(cmp.Or(r.Cause, r.Event), 200)
			if wanted := plain(r.Wanted, 190); p.Cause == "" && wanted != "" {
				p.Cause = "wanted: " + wanted
			}
		}
	}
	return p, red
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
	if at, _ := position(k.view, k.reds, time.Now()); at != nil {
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
