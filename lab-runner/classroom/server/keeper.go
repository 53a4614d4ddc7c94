package server

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/workbench"
)

// States of a desk, and consents to the instructor's typing.
const (
	starting = "starting"
	ready    = "ready"
	lost     = "lost"

	typingNo      = "no"
	typingAsked   = "asked"
	typingAllowed = "allowed"
)

// deskState is what the page shows of the desk.
type deskState struct {
	State string `json:"state"`
	Text  string `json:"text"`
}

// keeper has what belongs to one learner while the server runs: the desk, and what is open. None of it needs to survive.
type keeper struct {
	s      *Server
	id     string
	bench  workbench.Learner
	rate   *rate.Limiter
	writes *rate.Limiter   // of the rate, those that are written to the cluster
	lines  *rate.Limiter   // of the desk,
	bytes  *rate.Limiter   // and what they have
	ctx    context.Context // ends when the learner is removed or signed out, and with the server
	end    context.CancelFunc

	lives, terminals, asking, files gauge

	mu       sync.Mutex
	running  bool      // the desk's loop
	idle     time.Time // since when nothing of the learner is open; zero: something is
	open     int
	reported time.Time // by a client on the learner's own cluster
	warnedAt time.Time // when the log had a line about the workbench
	watchers int
	typing   string
	consent  context.CancelFunc // ends what types; nil unless typingAllowed
	consents context.Context    // ends with the consent

	state  deskState
	conn   *deskConn // nil unless the desk runs
	view   json.RawMessage
	drawn  json.RawMessage // the map
	output []byte          // the last of it
	wrote  uint64          // bytes of output so far
	reds   reds            // by the last view
	found  finding         // by the learner's last why
	subs   map[chan struct{}]struct{}

	unstored stored // what the desk has reported and the roster does not have yet
	store    chan struct{}
}

// stored is what is to be written to the roster.
type stored struct {
	progress json.RawMessage
	at       *roster.Position
	minutes  int
}

// keeper returns that of the learner, or nil before Run and after its end.
func (s *Server) keeper(id string) *keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil {
		return nil
	}
	k := s.keepers[id]
	if k == nil || k.ctx.Err() != nil {
		k = &keeper{
			s: s, id: id, bench: benchOf(id), rate: rate.NewLimiter(perSecond, burst), writes: rate.NewLimiter(writesPerSecond, writesBurst), lines: rate.NewLimiter(linesPerSecond, linesBurst), bytes: rate.NewLimiter(maxLine, 2*maxLine), typing: typingNo, state: deskState{State: lost},
			lives: gauge{most: maxLive}, terminals: gauge{most: maxTerminals}, asking: gauge{most: maxPending}, files: gauge{most: maxFiles},
			subs: map[chan struct{}]struct{}{}, store: make(chan struct{}, 1), idle: time.Now(),
		}
		if l, err := s.cfg.Roster.Learner(id); err == nil {
			k.reds = redsOf(&l.At)
		}
		k.ctx, k.end = context.WithCancel(s.ctx)
		s.keepers[id] = k
	}
	return k
}

// existing returns the keeper of a learner who has one.
func (s *Server) existing(id string) *keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keepers[id]
}

// endKeeper ends all streams of a learner. The next request of the learner has a new keeper.
func (s *Server) endKeeper(id string) {
	s.mu.Lock()
	k := s.keepers[id]
	delete(s.keepers, id)
	s.mu.Unlock()
	if k != nil {
		k.end()
		s.cfg.Roster.Touch(id)
	}
}

// enter counts something of the learner that is open, and starts the desk if it does not run. leave ends it.
func (k *keeper) enter() (leave func()) {
	k.mu.Lock()
	k.open++
	k.idle = time.Time{}
	start := !k.running && k.ctx.Err() == nil
	k.running = k.running || start
	k.mu.Unlock()
	if start {
		k.s.working.Go(k.run)
	}
	k.s.cfg.Roster.Touch(k.id) // the board shows who is connected
	return func() {
		k.mu.Lock()
		if k.open--; k.open == 0 {
			k.idle = time.Now()
		}
		k.mu.Unlock()
		k.s.cfg.Roster.Touch(k.id)
	}
}

// connected reports whether the learner has a page open, or a client that reports.
func (k *keeper) connected() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.open > 0 || time.Since(k.reported) < 2*time.Minute && !k.reported.IsZero()
}

// subscribe returns a channel that has a signal after a change of what the learner's page shows.
func (k *keeper) subscribe() (changed chan struct{}, end func()) {
	changed = make(chan struct{}, 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.subs[changed] = struct{}{}
	return changed, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.subs, changed)
	}
}

// update changes what the page shows.
func (k *keeper) update(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	for c := range k.subs {
		select {
		case c <- struct{}{}:
		default: // one is waiting already
		}
	}
}

func (k *keeper) setState(state, text string) {
	k.update(func() { k.state = deskState{state, text} })
}

// setTyping changes the consent. Without it everything that types ends at once.
func (k *keeper) setTyping(to string) {
	k.update(func() {
		if k.consent != nil {
			k.consent()
			k.consent = nil
		}
		if k.typing = to; to == typingAllowed {
			k.consents, k.consent = context.WithCancel(k.ctx)
		}
	})
	k.s.cfg.Roster.Touch(k.id)
}

// mayType returns the context of the consent, nil without one.
func (k *keeper) mayType() context.Context {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.typing != typingAllowed {
		return nil
	}
	return k.consents
}

// watch counts one who looks at the learner's terminal.
func (k *keeper) watch(n int) {
	k.update(func() { k.watchers += n })
	k.s.cfg.Roster.Touch(k.id)
}

func (k *keeper) watched() (bool, string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.watchers > 0, k.typing
}

// restart waits between two starts of a desk: longer after each that ended soon.
const (
	firstRestart   = time.Second
	longestRestart = 30 * time.Second
)

// run keeps the desk: it makes the workbench, talks to the desk, and begins again when that ends, as long as the learner is
// connected, and a while longer.
func (k *keeper) run() {
	ctx, stop := context.WithCancel(k.ctx)
	var storing sync.WaitGroup
	storing.Go(func() { k.storeAll(ctx) })
	defer func() {
		stop()
		storing.Wait()
	}()
	wait := firstRestart
	for {
		if k.finished() {
			return
		}
		k.setState(starting, "")
		began := time.Now()
		err := k.s.ensureBench(ctx, k.bench)
		if err == nil {
			err = k.talk(ctx)
		}
		if ctx.Err() != nil || errors.Is(err, errIdle) {
			k.setState(lost, "")
			if k.finished() {
				return
			}
			continue
		}
		k.warn("a desk has ended", err)
		k.setState(lost, whyLost(err, "your workbench is not reached; it is tried again"))
		if time.Since(began) > longestRestart {
			wait = firstRestart
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, longestRestart)
	}
}

// whyLost returns why there is no workbench, in a sentence for the learner.
func whyLost(err error, otherwise string) string {
	if why, ok := errors.AsType[workbench.Refusal](err); ok {
		return why.Error()
	}
	return otherwise
}

// warned is the least time between two lines of the log about one learner's workbench, who may break it as often as they want.
const warned = 10 * time.Second

// warn logs an error, whose text may be the learner's.
func (k *keeper) warn(what string, err error) {
	k.mu.Lock()
	now := time.Now()
	early := now.Sub(k.warnedAt) < warned
	if !early {
		k.warnedAt = now
	}
	k.mu.Unlock()
	if !early {
		k.s.cfg.Log.Warn(what, "learner", k.id, "err", plain(err.Error(), 300))
	}
}

// finished ends the loop if nothing of the learner has been open for long.
func (k *keeper) finished() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	over := k.ctx.Err() != nil || !k.idle.IsZero() && time.Since(k.idle) >= k.s.cfg.Linger
	if over {
		k.running = false
	}
	return over
}

// storePause is the least time between two writes for one learner. It is longer after a large one, up to 16 s: storeRate is how many
// bytes a second a desk, which may be in hostile hands, keeps the database busy with.
const (
	storePause = 300 * time.Millisecond
	storeRate  = 16 << 10
)

func pauseAfter(bytes int) time.Duration {
	return max(storePause, time.Duration(bytes)*time.Second/storeRate)
}

// storeAll writes what the desk reports to the roster until ctx is done, and then the rest.
func (k *keeper) storeAll(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			k.storeOnce(last)
			return
		case <-minute.C:
			k.mu.Lock()
			if k.open > 0 {
				k.unstored.minutes++
			}
			k.mu.Unlock()
		case <-k.store:
		}
		k.mu.Lock()
		bytes := len(k.unstored.progress)
		k.mu.Unlock()
		if !k.storeOnce(ctx) {
			k.wake() // again after the pause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfter(bytes)):
		}
	}
}

// storeOnce reports whether there is nothing left to store.
func (k *keeper) storeOnce(ctx context.Context) bool {
	k.mu.Lock()
	todo := k.unstored
	k.unstored = stored{}
	k.mu.Unlock()
	if todo.progress == nil && todo.at == nil && todo.minutes == 0 {
		return true
	}
	err := k.s.cfg.Roster.Update(ctx, k.id, func(l *roster.Learner) {
		if todo.progress != nil {
			l.Progress = todo.progress
		}
		if todo.at != nil {
			l.At = *todo.at
		}
		l.Minutes += todo.minutes
	})
	if err == nil || errors.Is(err, roster.ErrNotFound) {
		return true
	}
	if ctx.Err() == nil {
		k.s.cfg.Log.Warn("storing what a desk has reported; it is tried again", "learner", k.id, "err", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.unstored.progress == nil {
		k.unstored.progress = todo.progress
	}
	if k.unstored.at == nil {
		k.unstored.at = todo.at
	}
	k.unstored.minutes += todo.minutes
	return false
}

// wake makes storeAll write.
func (k *keeper) wake() {
	select {
	case k.store <- struct{}{}:
	default:
	}
}
