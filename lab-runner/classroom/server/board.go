package server

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/session"
)

// boardPause is the least time between two events of a board.
const boardPause = 250 * time.Millisecond

// login uses the one-time password up.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	var q struct{ Password string }
	if !read(w, r, &q) {
		return
	}
	var token string
	var err error
	wait := s.logins.try(r, roster.ErrPassword, func() error { //nolint:contextcheck // the request's own
		ctx, cancel := context.WithTimeout(r.Context(), 15*time.Second)
		defer cancel()
		token, err = s.cfg.Roster.Login(ctx, q.Password)
		return err
	})
	switch {
	case wait > 0:
		later(w, wait)
	case errors.Is(err, roster.ErrPassword):
		refuse(w, http.StatusForbidden, err.Error())
	case err != nil:
		s.failed(w, "the instructor logs in", err)
	default:
		s.setCookie(w, instructorCookie, token, int(roster.InstructorSession.Seconds()))
		answer(w, http.StatusOK, map[string]any{})
	}
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	err := s.cfg.Roster.Logout(r.Context(), cookie(r, instructorCookie))
	if err == nil {
		s.setCookie(w, instructorCookie, "", -1)
	}
	s.done(w, "the instructor logs out", err)
}

// row is a learner on the board.
type row struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Place     string     `json:"place"`
	Connected bool       `json:"connected"`
	Lab       string     `json:"lab"`
	Step      int        `json:"step"` // from 0 on
	StepTitle string     `json:"stepTitle"`
	Steps     int        `json:"steps"`
	Checks    counts     `json:"checks"`
	RedSince  *time.Time `json:"redSince"`
	Red       string     `json:"red"`
	Cause     string     `json:"cause"`
	Help      *time.Time `json:"help"`
	Solved    int        `json:"solved"`
	Minutes   int        `json:"minutes"`
	Watched   bool       `json:"watched"`
	Typing    string     `json:"typing"`
}

type counts struct {
	Done int `json:"done"`
	Todo int `json:"todo"`
	Lost int `json:"lost"`
}

type causeCount struct {
	Cause string `json:"cause"`
	Count int    `json:"count"`
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (s *Server) row(l *roster.Learner) row {
	at := &l.At
	out := row{
		ID: l.ID, Name: l.Name, Place: l.Place, Lab: at.Lab, Step: at.Step, StepTitle: at.StepTitle, Steps: at.Steps, Checks: counts{at.Done, at.Todo, at.Lost},
		RedSince: when(at.RedSince), Red: at.Red, Cause: at.Cause, Help: when(l.Help), Solved: at.Solved, Minutes: l.Minutes, Typing: typingNo,
	}
	if k := s.existing(l.ID); k != nil {
		out.Connected = k.connected()
		out.Watched, out.Typing = k.watched()
	}
	return out
}

// common counts the causes of what is red, the most common one first.
func common(learners []roster.Learner) []causeCount {
	n := map[string]int{}
	for i := range learners {
		if c := learners[i].At.Cause; c != "" {
			n[c]++
		}
	}
	out := []causeCount{}
	for cause, count := range n {
		out = append(out, causeCount{cause, count})
	}
	slices.SortFunc(out, func(a, b causeCount) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Cause, b.Cause)
	})
	return out[:min(len(out), 10)]
}

func (s *Server) boardView() map[string]any {
	class, learners := s.cfg.Roster.Class(), s.cfg.Roster.Learners()
	rows := make([]row, 0, len(learners))
	for i := range learners {
		rows = append(rows, s.row(&learners[i]))
	}
	view := classView(&class, class.Message)
	view["open"], view["released"] = keys(class.Open), keys(class.Released)
	return map[string]any{
		"class": view, "learners": rows, "causes": common(learners),
		"full": map[string]int{"learners": len(learners), "limit": s.cfg.Roster.Limit()},
	}
}

// keys returns those that are set, in order.
func keys(m map[string]bool) []string {
	out := []string{}
	for key, set := range m {
		if set {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// board is the view, and the labs with the titles of their steps, which do not change while the board is open.
func (s *Server) board(w http.ResponseWriter, _ *http.Request) {
	view := s.boardView()
	view["labs"] = s.labViews(&roster.Learner{}, &session.Progress{})
	answer(w, http.StatusOK, view)
}

// boardLive sends the board at first and after changes, at most four times a second.
func (s *Server) boardLive(w http.ResponseWriter, r *http.Request) {
	if !s.boards.enter() {
		refuse(w, http.StatusTooManyRequests, "the board is open in too many windows: close one")
		return
	}
	defer s.boards.leave()
	token := cookie(r, instructorCookie)
	changed, end := s.cfg.Roster.Subscribe()
	defer end()
	s.mu.Lock()
	ctx := s.ctx
	s.mu.Unlock()
	if ctx == nil {
		refuse(w, http.StatusServiceUnavailable, "the class is starting: try again in a moment")
		return
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	e := newEvents(w)
	for {
		if !s.cfg.Roster.Instructor(token) || e.changed("board", s.boardView()) != nil || e.flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ctx.Done():
			return
		case <-time.After(boardPause):
		}
		select {
		case <-r.Context().Done():
			return
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
			if e.beat() != nil {
				return
			}
		}
	}
}

// export is the board as a table.
func (s *Server) export(w http.ResponseWriter, _ *http.Request) {
	table, err := CSV(s.cfg.Roster)
	if err != nil {
		s.failed(w, "the table of the class", err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="class.csv"`)
	_, _ = w.Write(table)
}

// CSV returns the learners as a table (RFC 4180). A text that a spreadsheet would take for a formula begins with an
// apostrophe.
func CSV(r *roster.Roster) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"name", "place", "lab", "step", "steps", "step title", "checks done", "checks to do", "checks lost", "red", "red since", "cause", "solved", "minutes"}}
	for _, l := range r.Learners() {
		at, since, step := l.At, "", ""
		if !at.RedSince.IsZero() {
			since = at.RedSince.UTC().Format(time.RFC3339)
		}
		if at.Lab != "" {
			step = strconv.Itoa(at.Step + 1)
		}
		rows = append(rows, []string{
			l.Name, l.Place, at.Lab, step, strconv.Itoa(at.Steps), at.StepTitle, strconv.Itoa(at.Done), strconv.Itoa(at.Todo), strconv.Itoa(at.Lost),
			at.Red, since, at.Cause, strconv.Itoa(at.Solved), strconv.Itoa(l.Minutes),
		})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = noFormula(row[i])
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func noFormula(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n|", rune(text[0])) {
		return "'" + text
	}
	return text
}
