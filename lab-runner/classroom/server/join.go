package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/address"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/session"
)

// join makes a session of a learner.
func (s *Server) join(w http.ResponseWriter, r *http.Request) {
	var q struct{ Code, Name, ReturnCode, Client string }
	if !read(w, r, &q) {
		return
	}
	if _, ok := s.joins.reserve(r, time.Now()); !ok {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "many join from your address at this moment: wait a second")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 15*time.Second)
	defer cancel()
	j := roster.Join{Code: q.Code, Name: q.Name, Return: q.ReturnCode, Token: cookie(r, learnerCookie), Place: roster.Room}
	if q.Client == "lab" {
		j.Client, j.Place, j.Token = true, roster.Own, bearerOf(r)
	}
	var err error
	wait := s.codes.try(r, roster.ErrWrongCode, func() error {
		err = s.cfg.Roster.CheckCode(ctx, q.Code)
		return err
	})
	var joined roster.Joined
	var known bool
	if wait == 0 && err == nil {
		known, err = s.cfg.Roster.CheckName(j.Name)
	}
	giveBack := func() {}
	if wait == 0 && err == nil && !known {
		var ok bool
		if giveBack, ok = s.reservePlace(w, r, j); !ok {
			return
		}
	}
	if wait == 0 && err == nil {
		join := func() error {
			joined, err = s.cfg.Roster.Join(ctx, j)
			return err
		}
		if j.Return == "" { // others of the address do not wait for who guesses return codes
			_ = join()
		} else {
			wait = s.returns.try(r, roster.ErrWrongReturn, join)
		}
	}
	if !joined.New {
		giveBack()
	}
	switch {
	case wait > 0:
		later(w, wait)
	case err == nil:
		s.admitted(w, joined, j.Client)
	case errors.Is(err, roster.ErrWrongCode), errors.Is(err, roster.ErrWrongReturn):
		refuse(w, http.StatusForbidden, err.Error())
	case errors.Is(err, roster.ErrNameTaken):
		refuse(w, http.StatusConflict, err.Error())
	case errors.Is(err, roster.ErrFull):
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, roster.ErrName):
		refuse(w, http.StatusBadRequest, err.Error())
	default:
		s.failed(w, "a learner joins", err)
	}
}

// reservePlace reports whether there is a place for a new learner, and refuses them else. giveBack is for one who has not joined in the end.
func (s *Server) reservePlace(w http.ResponseWriter, r *http.Request, j roster.Join) (giveBack func(), ok bool) {
	giveBack = func() {}
	if !s.cfg.SharedAddress {
		if giveBack, ok = s.newLearners.reserve(r, time.Now()); !ok {
			s.heldUp.Do(func() {
				s.cfg.Log.Warn("new learners of one address are held up; serve --shared-address admits them as they come", "address", address.Of(r.RemoteAddr))
			})
			w.Header().Set("Retry-After", fmt.Sprint(newLearnerInterval.Seconds()))
			refuse(w, http.StatusTooManyRequests, fmt.Sprintf("many have joined from your address just now: wait %.0f seconds, or ask the instructor", newLearnerInterval.Seconds()))
			return nil, false
		}
	}
	if s.cfg.Admit == nil || j.Client {
		return giveBack, true
	}
	if err := s.cfg.Admit(); err != nil {
		giveBack()
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return nil, false
	}
	return giveBack, true
}

func (s *Server) admitted(w http.ResponseWriter, j roster.Joined, client bool) {
	out := map[string]any{"id": j.Learner.ID, "name": j.Learner.Name, "returnCode": j.Return}
	if client {
		out["token"] = j.Token
	} else {
		s.setCookie(w, learnerCookie, j.Token, int(roster.LearnerSession.Seconds()))
		if k := s.keeper(j.Learner.ID); k != nil { // the workbench is made while the page loads
			k.enter()()
		}
	}
	status := http.StatusOK
	if j.New {
		status = http.StatusCreated
	}
	answer(w, status, out)
}

// later answers to one who has been wrong too often.
func later(w http.ResponseWriter, wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", fmt.Sprint(seconds))
	refuse(w, http.StatusTooManyRequests, fmt.Sprintf("too many wrong attempts from your address: wait %d seconds", seconds))
}

// classView is what pages show of the class.
func classView(c *roster.Class, message string) map[string]any {
	var timer, slide any
	if !c.Timer.IsZero() {
		timer = c.Timer.UTC().Format(time.RFC3339)
	}
	if c.Slide != nil {
		slide = c.Slide
	}
	return map[string]any{"title": c.Title, "labs": c.Labs, "message": message, "timer": timer, "slide": slide, "follow": c.Follow}
}

// meView is the answer of api/me, and the event class. The return code is not in it: only its hash is stored.
func (s *Server) meView(l *roster.Learner, k *keeper) map[string]any {
	class := s.cfg.Roster.Class()
	message := class.Message
	if l.Message != "" {
		message = l.Message
	}
	watched, typing := k.watched()
	return map[string]any{
		"id": l.ID, "name": l.Name, "returnCode": "", "class": classView(&class, message),
		"help": !l.Help.IsZero(), "watched": watched, "typing": typing, "labs": s.labStates(&class, l),
		"programs": append([]Program{}, s.cfg.Takings.Programs...),
	}
}

// labStates changes whenever the list of labs does, which shows a page when to ask for it.
func (s *Server) labStates(class *roster.Class, l *roster.Learner) []string {
	open := []string{}
	for _, id := range class.Labs {
		if roster.Opened(class, l, id) {
			open = append(open, id)
		}
	}
	return open
}

func (s *Server) me(w http.ResponseWriter, _ *http.Request, v visit) {
	answer(w, http.StatusOK, s.meView(&v.Learner, v.keeper))
}

// lab returns a lab of the class, or nil.
func (s *Server) lab(id string) *catalog.Lab {
	for _, l := range s.cfg.Labs {
		if l.ID() == id {
			return l
		}
	}
	return nil
}

// labView is one lab in the answer of api/labs.
type labView struct {
	Lab       string   `json:"lab"`
	Title     string   `json:"title"`
	About     string   `json:"about"`
	Minutes   int      `json:"minutes"`
	Track     string   `json:"track"`
	Steps     []string `json:"steps"`
	StepsDone int      `json:"stepsDone"`
	Open      bool     `json:"open"`
	Here      bool     `json:"here"`
	Why       string   `json:"why"`
}

func (s *Server) labs(w http.ResponseWriter, _ *http.Request, v visit) {
	var progress session.Progress
	if v.Progress != nil && json.Unmarshal(v.Progress, &progress) != nil {
		progress = session.Progress{} // the desk reports it again
	}
	answer(w, http.StatusOK, s.labViews(&v.Learner, &progress))
}

// labViews are the labs of the class as a learner sees them.
func (s *Server) labViews(of *roster.Learner, progress *session.Progress) []labView {
	class := s.cfg.Roster.Class()
	out := []labView{}
	for _, id := range class.Labs {
		l := s.lab(id)
		if l == nil {
			continue
		}
		view := labView{Lab: id, Title: l.Title, About: l.About, Minutes: l.Minutes, Track: l.Track, Steps: []string{}, Open: roster.Opened(&class, of, id), Why: l.Elsewhere(s.cfg.Gives)}
		view.Here = view.Why == ""
		for i := range l.Steps {
			view.Steps = append(view.Steps, l.Steps[i].Title)
		}
		view.StepsDone, _ = progress.StepsDone(l)
		out = append(out, view)
	}
	return out
}

func (s *Server) help(w http.ResponseWriter, r *http.Request, v visit) {
	var q struct{ On bool }
	if !read(w, r, &q) {
		return
	}
	err := s.cfg.Roster.Update(r.Context(), v.ID, func(l *roster.Learner) {
		switch {
		case !q.On:
			l.Help = time.Time{}
		case l.Help.IsZero():
			l.Help = time.Now().UTC().Truncate(time.Second)
		}
	})
	s.done(w, "a learner asks for help", err)
}

// typing is the learner's consent, or its end. It is not written to the cluster.
func (s *Server) typing(w http.ResponseWriter, r *http.Request, v visit) {
	var q struct{ Allow bool }
	if !read(w, r, &q) {
		return
	}
	_, now := v.watched()
	switch {
	case !q.Allow:
		v.setTyping(typingNo)
	case now == typingNo:
		refuse(w, http.StatusConflict, "the instructor has not asked to type")
		return
	default:
		v.setTyping(typingAllowed)
	}
	answer(w, http.StatusOK, map[string]any{})
}

// leaves finds who leaves: by the cookie of a page, or by the token of a client.
func (s *Server) leaves(w http.ResponseWriter, r *http.Request) {
	if token := bearerOf(r); token == "" {
		s.learner(s.leave)(w, r)
	} else {
		s.client(s.leave, token)(w, r)
	}
}

// leave ends the session. The learner stays in the class, and may come back with the return code.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, v visit) {
	err := s.cfg.Roster.Logout(r.Context(), v.token)
	if err == nil {
		s.setCookie(w, learnerCookie, "", -1)
		v.setTyping(typingNo)
		s.cfg.Roster.Touch(v.ID)
	}
	s.done(w, "a learner leaves", err)
}

// done answers to a change.
func (s *Server) done(w http.ResponseWriter, what string, err error) {
	if err != nil {
		s.failed(w, what, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{})
}

// bearerOf returns the token of the header Authorization.
func bearerOf(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}

// report is where a learner is on a cluster of their own, as their client says.
func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	s.client(writing(s.reported), bearerOf(r))(w, r)
}

// client finds the learner of a client's token, and bounds the learner's requests.
func (s *Server) client(serve ofLearner, token string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l, err := s.cfg.Roster.Session(token, true)
		if err != nil {
			refuse(w, http.StatusUnauthorized, "the token is not valid: join again with `lab join`")
			return
		}
		s.visit(w, r, serve, l, token)
	}
}

func (s *Server) reported(w http.ResponseWriter, r *http.Request, v visit) {
	var q struct {
		Lab, StepTitle, Red, Cause string
		Step, Steps                int
		Checks                     struct{ Done, Todo, Lost int }
		RedSince                   time.Time
	}
	if !read(w, r, &q) {
		return
	}
	number := func(n int) int { return max(0, min(n, 999)) }
	at := roster.Position{
		Lab: plain(q.Lab, 128), Step: number(q.Step), StepTitle: plain(q.StepTitle, 120), Steps: number(q.Steps), Done: number(q.Checks.Done), Todo: number(q.Checks.Todo),
		Lost: number(q.Checks.Lost), Red: plain(q.Red, 200), Cause: plain(q.Cause, 200),
	}
	if lab := s.lab(q.Lab); lab != nil && at.StepTitle == "" && at.Step < len(lab.Steps) {
		at.StepTitle = lab.Steps[at.Step].Title
	}
	if now := time.Now(); at.Red != "" && !q.RedSince.IsZero() && q.RedSince.Before(now) {
		at.RedSince = q.RedSince.UTC().Truncate(time.Second)
	}
	v.update(func() { v.keeper.reported = time.Now() })
	s.done(w, "a learner reports", s.cfg.Roster.Update(r.Context(), v.ID, func(l *roster.Learner) { l.At = at }))
}
