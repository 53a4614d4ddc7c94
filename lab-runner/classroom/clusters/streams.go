package clusters

import (
	"context"
	"errors"
	"io"

	"wheelhouse/lab-runner/classroom/workbench"
)

var errNone = errors.New("the learner's cluster is not ready yet")

// of returns the manager of the learner's workbench.
func (p *Pool) of(l workbench.Learner) (bench, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.benches[clusterOf(p.owners, l.ID)]; m != nil {
		return m, nil
	}
	return nil, errNone
}

// Terminal connects t to the learner's shell, as workbench.Manager does.
func (p *Pool) Terminal(ctx context.Context, l workbench.Learner, t workbench.Terminal) error {
	m, err := p.of(l)
	if err != nil {
		return err
	}
	return short(m.Terminal(ctx, l, t))
}

// Desk runs the learner's desk, as workbench.Manager does.
func (p *Pool) Desk(ctx context.Context, l workbench.Learner, in io.Reader, out io.Writer) error {
	m, err := p.of(l)
	if err != nil {
		return err
	}
	return short(m.Desk(ctx, l, in, out))
}
