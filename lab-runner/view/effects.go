package view

import (
	"context"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/script"
)

// effects are what the model has done. Each returns at once; a message says how it ended.
type effects interface {
	entries(resume bool) tea.Cmd
	open(number int, id string) tea.Cmd
	closeLab(number int, l Lab) tea.Cmd
	watch(number int, l Lab) tea.Cmd
	run(number int, l Lab, command script.Item, target, step int) tea.Cmd
	interrupt(l Lab) tea.Cmd
	do(number int, l Lab, a Action) tea.Cmd
	shell(number int, l Lab) tea.Cmd
}

// program carries the effects out. It outlives no context: what it started ends with ctx, or with
// the lab that it is for.
type program struct {
	ctx     context.Context //nolint:containedctx // of the whole program: Bubble Tea's commands have none
	library Library
	send    func(tea.Msg)

	lock sync.Mutex
	ends map[int]context.CancelFunc // of what watches a lab, by its number
}

func (p *program) entries(resume bool) tea.Cmd {
	return func() tea.Msg {
		entries, err := p.library.Entries()
		return entriesMsg{entries, err, resume}
	}
}

func (p *program) open(number int, id string) tea.Cmd {
	return func() tea.Msg {
		lab, err := p.library.Open(p.ctx, id, discard{})
		return openedMsg{number, lab, err}
	}
}

// discard drops what the setting up of a lab prints.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func (p *program) closeLab(number int, l Lab) tea.Cmd {
	return func() tea.Msg {
		p.lock.Lock()
		if end := p.ends[number]; end != nil {
			end()
		}
		delete(p.ends, number)
		p.lock.Unlock()
		l.Close()
		return nil
	}
}

// redraw is the shortest time between two drawings of the map: many pods change at a time.
const redraw = 50 * time.Millisecond

func (p *program) watch(number int, l Lab) tea.Cmd {
	ctx, end := context.WithCancel(p.ctx)
	p.lock.Lock()
	p.ends[number] = end
	p.lock.Unlock()
	changes := &changes{wake: make(chan struct{}, 1)}
	states := func() tea.Msg {
		err := l.Watch(ctx, func(s State) { p.send(stateMsg{number, s}) }, changes.add)
		if ctx.Err() != nil {
			err = nil
		}
		return watchEndedMsg{number, err}
	}
	return tea.Batch(states, func() tea.Msg {
		p.drawMap(ctx, number, changes)
		return nil
	})
}

// changes are those that are not drawn yet.
type changes struct {
	lock    sync.Mutex
	pending []clustermap.Change
	wake    chan struct{} // has one when there are some
}

func (c *changes) add(change clustermap.Change) {
	c.lock.Lock()
	c.pending = append(c.pending, change)
	c.lock.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) take() []clustermap.Change {
	c.lock.Lock()
	defer c.lock.Unlock()
	out := c.pending
	c.pending = nil
	return out
}

// drawMap sends the map after its changes.
func (p *program) drawMap(ctx context.Context, number int, changes *changes) {
	var m clustermap.Map
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes.wake:
		}
		m = m.Apply(changes.take()...)
		p.send(mapMsg{number, m})
		select {
		case <-ctx.Done():
			return
		case <-time.After(redraw):
		}
	}
}

// writer sends what is written as the output of a lab.
type writer struct {
	number int
	send   func(tea.Msg)
}

func (w writer) Write(b []byte) (int, error) {
	w.send(outputMsg{w.number, append([]byte(nil), b...)})
	return len(b), nil
}

func (p *program) run(number int, l Lab, command script.Item, target, step int) tea.Cmd {
	return func() tea.Msg {
		status, err := l.Run(p.ctx, command, writer{number, p.send})
		return ranMsg{number, target, step, status, err}
	}
}

func (p *program) interrupt(l Lab) tea.Cmd {
	return func() tea.Msg {
		l.Interrupt()
		return nil
	}
}

func (p *program) do(number int, l Lab, a Action) tea.Cmd {
	return func() tea.Msg {
		result, err := l.Do(p.ctx, a, writer{number, p.send})
		return didMsg{number, a, result, err}
	}
}

func (p *program) shell(number int, l Lab) tea.Cmd {
	cmd, err := l.Shell()
	if err != nil {
		return func() tea.Msg { return shellMsg{number, err} }
	}
	return tea.ExecProcess(cmd, func(err error) tea.Msg { return shellMsg{number, err} })
}
