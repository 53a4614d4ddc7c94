// Package stage runs the commands of slides on a cluster, and reads maps and journeys for them. Each lab has a session in
// a directory of its own below Config.Dir, apart from the labs of the user. It runs only commands that the lab's text
// has, in the lab's environment, one at a time. Close ends the sessions and removes what the labs left in the cluster.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/session"
	"wheelhouse/lab-runner/slides"
)

// Config is what a Stage needs.
type Config struct {
	Labs []*catalog.Lab
	// Cluster opens the cluster for the lab. It is called for the first command of each lab.
	Cluster func(context.Context, *catalog.Lab) (*environment.Cluster, error)
	// Journey returns what happened to KIND/NAME in a namespace, as text.
	Journey func(ctx context.Context, namespace, target string) (string, error)
	Dir     string // of the labs' files; empty at first, and the caller's to remove
}

// Stage implements slides.Live. Its methods are safe for concurrent use.
type Stage struct {
	cfg     Config
	stop    context.CancelFunc
	ctx     context.Context // of the maps
	mu      sync.Mutex
	running sync.Mutex // one command at a time
	open    map[string]*play
}

// play is one lab that was begun.
type play struct {
	session   *session.Session
	namespace string
	mu        sync.Mutex
	picture   clustermap.Map
}

var _ slides.Live = (*Stage)(nil)

// New returns a stage that has begun no lab.
func New(cfg Config) *Stage {
	ctx, stop := context.WithCancel(context.Background())
	return &Stage{cfg: cfg, ctx: ctx, stop: stop, open: map[string]*play{}}
}

// Run runs a command of the lab's text, and writes what it prints. An exit status that the text does not announce is an
// error. A lab is begun with its first command.
func (s *Stage) Run(ctx context.Context, lab, command string, out io.Writer) error {
	l, item, err := find(s.cfg.Labs, lab, command)
	if err != nil {
		return err
	}
	s.running.Lock()
	defer s.running.Unlock()
	p, err := s.begin(ctx, l)
	if err != nil {
		return err
	}
	status, err := p.session.Run(ctx, item, out)
	if err != nil {
		return err
	}
	if (status != 0) != item.Fails && !item.Interrupt {
		return fmt.Errorf("exit status %d", status)
	}
	return nil
}

// find returns the lab and the item of the command in its text.
func find(labs []*catalog.Lab, name, command string) (*catalog.Lab, script.Item, error) {
	l, _, err := catalog.Find(labs, name)
	if err != nil {
		return nil, script.Item{}, err
	}
	for _, step := range l.Steps {
		for _, item := range step.Commands {
			if item.Text == command {
				return l, item, nil
			}
		}
	}
	return nil, script.Item{}, fmt.Errorf("the lab %s has no such command", l.ID())
}

// begin returns the lab's play, and starts it first if it is not begun. s.running is held.
func (s *Stage) begin(ctx context.Context, l *catalog.Lab) (*play, error) {
	s.mu.Lock()
	p := s.open[l.ID()]
	s.mu.Unlock()
	if p != nil {
		return p, nil
	}
	cluster, err := s.cfg.Cluster(ctx, l)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.cfg.Dir, l.Place())
	opened, err := session.Open(session.Config{Lab: l, Cluster: cluster, Dir: dir, Store: session.NewStore(dir+".json", nil)})
	if err != nil {
		return nil, err
	}
	if err := opened.Start(ctx, io.Discard); err != nil {
		opened.Close()
		return nil, err
	}
	p = &play{session: opened, namespace: l.Namespace}
	s.mu.Lock()
	s.open[l.ID()] = p
	s.mu.Unlock()
	go clustermap.Follow(s.ctx, cluster.Client, l.Namespace, p.changed) //nolint:contextcheck // until Close, longer than the request
	return p, nil
}

func (p *play) changed(c clustermap.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.picture = p.picture.Apply(c)
}

// begun returns the play of a lab, or an error if none of its commands was run.
func (s *Stage) begun(lab string) (*play, error) {
	l, _, err := catalog.Find(s.cfg.Labs, lab)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.open[l.ID()]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("nothing of the lab %s runs yet: run a command of it on a slide before", l.ID())
}

// width and height of a map on a slide, in characters and lines.
const width, height = 52, 16

// Map returns the map of the lab's namespace.
func (s *Stage) Map(_ context.Context, lab string) ([]slides.Row, error) {
	p, err := s.begun(lab)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	picture := p.picture
	p.mu.Unlock()
	marks := map[clustermap.Mark]string{clustermap.Well: "well", clustermap.UnderWay: "under-way", clustermap.Failed: "failed", clustermap.Over: "over"}
	var rows []slides.Row
	for _, r := range picture.Draw(width, height) {
		row := slides.Row{Text: strings.TrimRight(r.Text, " "), Mark: marks[r.Mark]}
		if r.Title {
			row.Mark = ""
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Journey returns what happened to an object of the lab's namespace.
func (s *Stage) Journey(ctx context.Context, lab, target string) (string, error) {
	p, err := s.begun(lab)
	if err != nil {
		return "", err
	}
	return s.cfg.Journey(ctx, p.namespace, target)
}

// Close ends all sessions, and removes their labs' objects.
func (s *Stage) Close(ctx context.Context) error {
	s.stop()
	s.running.Lock()
	defer s.running.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed error
	for _, p := range s.open {
		failed = errors.Join(failed, p.session.Clean(ctx, io.Discard))
		p.session.Close()
	}
	clear(s.open)
	return failed
}
