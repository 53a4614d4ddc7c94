package clusters

import (
	"maps"
	"time"

	"wheelhouse/lab-runner/classroom/workbench"
)

// room returns why no further cluster is made, with those that are promised already and more.
func (p *Pool) room(more int) error {
	if p.cfg.Room == nil {
		return nil
	}
	p.mu.Lock()
	pending := len(p.pending)
	p.mu.Unlock()
	if err := p.cfg.Room(pending + more); err != nil {
		return workbench.Refusal(err.Error())
	}
	return nil
}

// promise counts a cluster that the machine's figures do not show yet, or no longer.
func (p *Pool) promise(name string, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if yes {
		p.pending[name] = true
		return
	}
	delete(p.pending, name)
}

// joining is how long a place is kept for a learner who joins.
const joining = 10 * time.Second

// Admit returns why there is no cluster for a further learner now, in a sentence; nil: there is, and it is kept for the moment.
func (p *Pool) Admit() error {
	p.admitting.Lock() // of two who ask at once one gets the last place
	defer p.admitting.Unlock()
	now := time.Now()
	p.mu.Lock()
	for len(p.admitted) > 0 && now.Sub(p.admitted[0]) > joining {
		p.admitted = p.admitted[1:]
	}
	coming, owners := len(p.admitted), maps.Clone(p.owners)
	p.mu.Unlock()
	free := 0
	for _, owner := range owners {
		if owner == ready {
			free++
		}
	}
	if coming >= free {
		if err := p.room(coming - free); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.admitted = append(p.admitted, now)
	return nil
}

// placed notes that one of those who were admitted has a cluster.
func (p *Pool) placed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.admitted) > 0 {
		p.admitted = p.admitted[1:]
	}
}
