// Package view is `lab` with no words: a full-screen view of the labs and of one lab at a time,
// and the same line by line for screen readers (Plain). On the left is the step's text, on the
// right are its checks and a map of the lab's namespace; below 72 columns one of them at a time.
// It follows the Elm architecture of Bubble Tea: Model.Update is computation alone, effects does
// what is to be done.
//
// The package shows text of labs, commands and the cluster by render.Visible, so no escape
// sequence of them reaches the terminal. Only the interactive shell has the terminal itself, while
// the view is suspended. What a lab is, and what is done to it, is the caller's: Library and Lab.
package view

import (
	"context"
	"errors"
	"io"

	tea "charm.land/bubbletea/v2"
)

// Config is what Run needs.
type Config struct {
	Library Library
	Input   io.Reader // a terminal
	Output  io.Writer // a terminal
	Environ []string  // TERM, NO_COLOR and others; os.Environ()
}

// frames bounds how often the screen is drawn in a second.
const frames = 30

// Run shows the view until the learner leaves it or ctx is done.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fx := &program{ctx: ctx, library: cfg.Library, ends: map[int]context.CancelFunc{}}
	p := tea.NewProgram(&Model{fx: fx}, tea.WithContext(ctx), tea.WithInput(cfg.Input), tea.WithOutput(cfg.Output),
		tea.WithEnvironment(cfg.Environ), tea.WithFPS(frames), tea.WithoutSignalHandler())
	fx.send = p.Send
	_, err := p.Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
