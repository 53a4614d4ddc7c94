package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"wheelhouse/lab-runner/classroom/roster"
)

// action is what the instructor does, for some learners or all.
type action struct {
	Action   string   `json:"action"`
	Learners []string `json:"learners"`
	Lab      string   `json:"lab"`
	Step     *int     `json:"step"`
	Text     string   `json:"text"`
	Minutes  int      `json:"minutes"`
	Deck     string   `json:"deck"`
	Page     int      `json:"page"`
	On       *bool    `json:"on"`
	all      bool
}

// outcome is what an action has done.
type outcome struct {
	Done   int      `json:"done"`
	Failed []failed `json:"failed"`
	Code   string   `json:"code,omitempty"` // the new code of the room
}

type failed struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

// errAction is an action that is not understood.
type errAction string

func (e errAction) Error() string { return string(e) }

// actions lists what the instructor can do.
func (s *Server) actions() map[string]func(context.Context, action) (outcome, error) {
	return map[string]func(context.Context, action) (outcome, error){
		"open":       func(ctx context.Context, a action) (outcome, error) { return s.setOpen(ctx, a, true) },
		"close":      func(ctx context.Context, a action) (outcome, error) { return s.setOpen(ctx, a, false) },
		"release":    s.releaseSolution,
		"message":    s.message,
		"timer":      s.timer,
		"slide":      s.slide,
		"follow":     s.follow,
		"hint":       func(ctx context.Context, a action) (outcome, error) { return s.atDesks(ctx, a, "hint") },
		"reset":      func(ctx context.Context, a action) (outcome, error) { return s.atDesks(ctx, a, "reset") },
		"goto":       func(ctx context.Context, a action) (outcome, error) { return s.atDesks(ctx, a, "goto") },
		"help-done":  s.helpDone,
		"ask-typing": s.askTyping,
		"remove":     s.remove,
		"evict-all":  s.evictAll,
	}
}

// acting bounds an action as a whole: of forty desks that take long, several are asked at a time.
const acting = 30 * time.Minute

// act does what the instructor's board asks for.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	var a action
	if !read(w, r, &a) {
		return
	}
	do := s.actions()[a.Action]
	if do == nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the board does not do %.40q", a.Action))
		return
	}
	a.all = slices.Contains(a.Learners, "*") || len(a.Learners) == 0 && slices.Contains([]string{"timer", "slide", "follow", "evict-all"}, a.Action)
	if a.all {
		a.Learners = s.everybody()
	} else if len(a.Learners) == 0 {
		refuse(w, http.StatusBadRequest, `name the learners by their ids, or all by "*"`)
		return
	}
	for _, id := range a.Learners {
		if _, err := s.cfg.Roster.Learner(id); err != nil {
			refuse(w, http.StatusNotFound, err.Error())
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), acting) // what is begun is finished, though the page is closed
	defer cancel()
	out, err := do(ctx, a)
	var bad errAction
	switch {
	case errors.As(err, &bad):
		refuse(w, http.StatusBadRequest, bad.Error())
	case err != nil:
		s.failed(w, "the instructor's action "+a.Action, err)
	default:
		if out.Failed == nil {
			out.Failed = []failed{}
		}
		answer(w, http.StatusOK, out)
	}
}

func (s *Server) everybody() []string {
	var ids []string
	for _, l := range s.cfg.Roster.Learners() {
		ids = append(ids, l.ID)
	}
	return ids
}

// each changes the learners of an action.
func (s *Server) each(ctx context.Context, a action, change func(*roster.Learner)) (outcome, error) {
	return s.side(a, func(id string) error { return s.cfg.Roster.Update(ctx, id, change) }), nil
}

// beside is for how many learners something is done at a time. Most of that is to wait.
const beside = 16

// side runs something for the learners of an action, several at a time.
func (s *Server) side(a action, do func(id string) error) outcome {
	var out outcome
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, beside)
	for _, id := range a.Learners {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			err := do(id)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				out.Failed = append(out.Failed, failed{id, plain(err.Error(), 300)})
				return
			}
			out.Done++
		})
	}
	wg.Wait()
	return out
}

// known returns an error unless the action names a lab of the class.
func (s *Server) known(a action) error {
	if !slices.Contains(s.cfg.Roster.Class().Labs, a.Lab) {
		return errAction("name a lab of this class")
	}
	return nil
}

// setOpen opens or closes a lab. For all it is the class's, also for those who join later.
func (s *Server) setOpen(ctx context.Context, a action, open bool) (outcome, error) {
	if err := s.known(a); err != nil {
		return outcome{}, err
	}
	if !a.all {
		return s.each(ctx, a, func(l *roster.Learner) { l.Open = roster.Set(l.Open, a.Lab, open) })
	}
	if err := s.cfg.Roster.UpdateClass(ctx, func(c *roster.Class) { c.Open = roster.Set(c.Open, a.Lab, open) }); err != nil {
		return outcome{}, err
	}
	return s.each(ctx, a, func(l *roster.Learner) { delete(l.Open, a.Lab) })
}

// releaseSolution lets learners use the solution of a step, or of all steps of a lab.
func (s *Server) releaseSolution(ctx context.Context, a action) (outcome, error) {
	if err := s.known(a); err != nil {
		return outcome{}, err
	}
	step := -1
	if a.Step != nil {
		step = *a.Step
	}
	key := roster.Solution(a.Lab, step)
	if !a.all {
		return s.each(ctx, a, func(l *roster.Learner) { l.Released = roster.Set(l.Released, key, true) })
	}
	return outcome{Done: len(a.Learners)}, s.cfg.Roster.UpdateClass(ctx, func(c *roster.Class) { c.Released = roster.Set(c.Released, key, true) })
}

func (s *Server) message(ctx context.Context, a action) (outcome, error) {
	text := plain(a.Text, 500)
	if !a.all {
		return s.each(ctx, a, func(l *roster.Learner) { l.Message = text })
	}
	if err := s.cfg.Roster.UpdateClass(ctx, func(c *roster.Class) { c.Message = text }); err != nil {
		return outcome{}, err
	}
	return s.each(ctx, a, func(l *roster.Learner) { l.Message = "" })
}

func (s *Server) timer(ctx context.Context, a action) (outcome, error) {
	if a.Minutes < 0 || a.Minutes > 24*60 {
		return outcome{}, errAction("a timer has 1 to 1440 minutes, or 0 for none")
	}
	end := time.Time{}
	if a.Minutes > 0 {
		end = time.Now().Add(time.Duration(a.Minutes) * time.Minute).UTC().Truncate(time.Second)
	}
	return outcome{}, s.cfg.Roster.UpdateClass(ctx, func(c *roster.Class) { c.Timer = end })
}

// slide is the one that the instructor shows.
func (s *Server) slide(ctx context.Context, a action) (outcome, error) {
	deck := plain(a.Deck, 100)
	if a.Page < 0 || a.Page > 9999 {
		return outcome{}, errAction("a deck has no such page")
	}
	return outcome{}, s.cfg.Roster.UpdateClass(ctx, func(c *roster.Class) {
		if c.Slide = nil; deck != "" {
			c.Slide = &roster.Slide{Deck: deck, Page: a.Page}
		}
	})
}

// follow makes the pages of learners follow the slide, or not; without on it changes that.
func (s *Server) follow(ctx context.Context, a action) (outcome, error) {
	return outcome{}, s.cfg.Roster.UpdateClass(ctx, func(c *roster.Class) {
		if a.On == nil {
			c.Follow = !c.Follow
			return
		}
		c.Follow = *a.On
	})
}

// asking is how long an action waits for one desk, which may never answer: a hint is there at once, a lab takes long on a busy
// machine. What was begun there goes on.
func asking(do string) time.Duration {
	if do == "hint" {
		return time.Minute
	}
	return dos[do]
}

// atDesks sends a request to the desks of learners: a hint of their current step, the lab as it was at a step.
func (s *Server) atDesks(ctx context.Context, a action, do string) (outcome, error) {
	if err := s.known(a); a.Lab != "" && err != nil {
		return outcome{}, err
	}
	if do == "goto" && (a.Step == nil || a.Lab == "") {
		return outcome{}, errAction("name the lab and the step to go to")
	}
	return s.side(a, func(id string) error {
		l, err := s.cfg.Roster.Learner(id)
		if err != nil {
			return err
		}
		q := request{Do: do, Lab: a.Lab, Step: a.Step}
		if q.Lab == "" {
			q.Lab = l.At.Lab
		}
		k := s.existing(id)
		switch {
		case l.Place == roster.Own:
			return errors.New("the learner works on a cluster of their own")
		case q.Lab == "":
			return errors.New("the learner has not started a lab")
		case k == nil || !k.connected():
			return errors.New("the learner is not connected")
		}
		ctx, cancel := context.WithTimeout(ctx, asking(do))
		defer cancel()
		if do == "goto" && l.At.Lab != q.Lab { // who is far behind has not started it
			if err := k.does(ctx, request{Do: "start", Lab: q.Lab}); err != nil {
				return err
			}
		}
		return k.does(ctx, q)
	}), nil
}

// does is ask, with an error also where the desk has refused.
func (k *keeper) does(ctx context.Context, q request) error {
	m, err := k.ask(ctx, q)
	if err == nil && !m.OK {
		err = errors.New(m.Error)
	}
	return err
}

func (s *Server) helpDone(ctx context.Context, a action) (outcome, error) {
	return s.each(ctx, a, func(l *roster.Learner) { l.Help = time.Time{} })
}

// askTyping asks learners whether the instructor may type. Who has agreed already has.
func (s *Server) askTyping(_ context.Context, a action) (outcome, error) {
	return s.side(a, func(id string) error {
		k := s.existing(id)
		if k == nil || !k.connected() {
			return errors.New("the learner is not connected")
		}
		if _, typing := k.watched(); typing == typingNo {
			k.setTyping(typingAsked)
		}
		return nil
	}), nil
}

// removing bounds the removal of a workbench, which goes on when the instructor's page is closed.
const removing = 5 * time.Minute

// remove removes learners: the workbench first, so that none is left without its learner.
func (s *Server) remove(ctx context.Context, a action) (outcome, error) {
	return s.side(a, func(id string) error { return s.removeLearner(ctx, id) }), nil
}

func (s *Server) removeLearner(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removing)
	defer cancel()
	if err := s.cfg.Roster.SignOut(ctx, []string{id}); err != nil {
		return err
	}
	s.endKeeper(id)
	if err := s.cfg.Benches.Remove(ctx, benchOf(id)); err != nil {
		s.cfg.Log.Error("removing a workbench", "learner", id, "err", err)
		return errors.New("the workbench cannot be removed now: try again")
	}
	return s.cfg.Roster.Remove(ctx, id)
}

// evictAll signs all learners out, removes their workbenches and makes a new code. Names and progress are kept: with the
// new code and the return code a learner is back.
func (s *Server) evictAll(ctx context.Context, a action) (outcome, error) {
	code, err := s.cfg.Roster.NewCode(ctx)
	if err != nil {
		return outcome{}, err
	}
	a.Learners = s.everybody() // also who has joined with the code before
	if err := s.cfg.Roster.SignOut(ctx, a.Learners); err != nil {
		return outcome{}, err
	}
	for _, id := range a.Learners {
		s.endKeeper(id)
	}
	out := s.side(a, func(id string) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removing)
		defer cancel()
		return s.cfg.Benches.Remove(ctx, benchOf(id))
	})
	out.Code = code
	return out, nil
}

// forget removes all personal data: the learners, their workbenches, and the message.
func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	var q struct{}
	if !read(w, r, &q) {
		return
	}
	a := action{Learners: s.everybody()}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), acting) // what is begun is finished
	defer cancel()
	out := s.side(a, func(id string) error { return s.removeLearner(ctx, id) })
	if err := s.cfg.Roster.UpdateClass(ctx, func(c *roster.Class) { c.Message, c.Slide, c.Timer = "", nil, time.Time{} }); err != nil {
		s.failed(w, "removing the message", err)
		return
	}
	if out.Failed == nil {
		out.Failed = []failed{}
	}
	answer(w, http.StatusOK, out)
}
