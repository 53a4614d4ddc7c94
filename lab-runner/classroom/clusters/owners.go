package clusters

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// object is the name of the ConfigMap that says which cluster is whose. Its keys are clusters; a value is the ID of a learner, or
// one of these.
const object = "clusters"

const (
	ready  = ""  // for the next learner
	marked = "-" // being made or removed: nobody gets it, and if nothing works on it, it is removed
)

// conflicts bounds the writes of one change: who else writes is another process that removes learners.
var conflicts = wait.Backoff{Steps: 10, Duration: 10 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: time.Second}

// storing bounds a change in time.
const storing = 30 * time.Second

// update changes which cluster is whose, one change at a time, and returns what is so then. change may be called several times.
func (p *Pool) update(ctx context.Context, change func(owners map[string]string)) (now map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, storing)
	defer cancel()
	release, err := p.writes.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	err = wait.ExponentialBackoffWithContext(ctx, conflicts, func(ctx context.Context) (done bool, _ error) {
		now, err = p.store(ctx, change)
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("which cluster is whose: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owners = maps.Clone(now)
	return now, nil
}

// store makes a change once.
func (p *Pool) store(ctx context.Context, change func(owners map[string]string)) (map[string]string, error) {
	stored := p.cfg.Client.CoreV1().ConfigMaps(p.cfg.Namespace)
	found, err := stored.Get(ctx, object, metav1.GetOptions{})
	absent := apierrors.IsNotFound(err)
	if absent {
		found, err = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: object}}, nil
	}
	if err != nil {
		return nil, err
	}
	now := maps.Clone(found.Data)
	if now == nil {
		now = map[string]string{}
	}
	change(now)
	if maps.Equal(now, found.Data) {
		return now, nil
	}
	found.Data = maps.Clone(now)
	if absent {
		_, err = stored.Create(ctx, found, metav1.CreateOptions{})
	} else {
		_, err = stored.Update(ctx, found, metav1.UpdateOptions{})
	}
	return now, err
}

// read returns which cluster is whose.
func (p *Pool) read(ctx context.Context) (map[string]string, error) {
	return p.update(ctx, func(map[string]string) {})
}

// move changes whose a cluster is from one to another, and reports whether it was that one's.
func (p *Pool) move(ctx context.Context, name, from, to string) (moved bool, err error) {
	_, err = p.update(ctx, func(owners map[string]string) {
		owner, ok := owners[name]
		if moved = ok && owner == from; moved {
			owners[name] = to
		}
	})
	return moved && err == nil, err
}

// clusterOf returns the learner's cluster, or "".
func clusterOf(owners map[string]string, id string) string {
	if id == ready || id == marked {
		return ""
	}
	for name, owner := range owners {
		if owner == id {
			return name
		}
	}
	return ""
}

// free returns a cluster for the next learner, one that is up if there is one, or "".
func (p *Pool) free(owners map[string]string) (name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, owner := range owners {
		if owner == ready && (name == "" || p.benches[n] != nil) {
			name = n
		}
	}
	return name
}

// newName returns a name that no cluster has.
func (p *Pool) newName(owners map[string]string) (string, error) {
	there, err := p.cfg.Maker.Names()
	if err != nil {
		return "", err
	}
	for range 100 {
		name := p.cfg.Prefix + strings.ToLower(rand.Text()[:6])
		_, has := owners[name]
		if _, is := there[name]; !has && !is {
			return name, nil
		}
	}
	return "", errors.New("no name for a further cluster is found")
}
