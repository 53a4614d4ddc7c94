package roster

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Join is a request to be in the class.
type Join struct {
	Code   string // of the room
	Name   string
	Return string // the return code, of who was here before; may be empty
	Token  string // of a session that the client has; may be empty. It ends if it is of the same learner
	Client bool   // the token that is made is a client's, not a cookie
	Place  string // Room or Own
}

// Joined is who has joined.
type Joined struct {
	Learner Learner
	New     bool
	Token   string // of the new session
	Return  string // the return code of a new learner; it cannot be shown again
}

// CheckCode returns ErrWrongCode unless the code is the room's.
func (r *Roster) CheckCode(ctx context.Context, code string) error {
	right, err := r.Code(ctx)
	if err == nil && !same(hash(typed(right)), hash(typed(code))) {
		return ErrWrongCode
	}
	return err
}

// Join adds a learner, or returns one who is back. Errors are ErrWrongCode, ErrNameTaken, ErrWrongReturn, ErrFull, one that
// wraps ErrName, or of the API.
func (r *Roster) Join(ctx context.Context, j Join) (Joined, error) {
	r.joining.Lock()
	defer r.joining.Unlock()
	if err := r.CheckCode(ctx, j.Code); err != nil { // with the lock: NewCode may have replaced it
		return Joined{}, err
	}
	shown, key, err := cleanName(j.Name)
	if err != nil {
		return Joined{}, err
	}
	if l, ok := r.named(key); ok {
		return r.back(ctx, l, j)
	}
	if r.Count() >= r.cfg.Limit {
		return Joined{}, ErrFull
	}
	return r.add(ctx, shown, j)
}

// CheckName reports whether a learner of the class has the name; for a new one it returns the error that Join would: one that wraps
// ErrName, or ErrFull.
func (r *Roster) CheckName(name string) (known bool, err error) {
	_, key, err := cleanName(name)
	if err != nil {
		return false, err
	}
	if _, known = r.named(key); !known && r.Count() >= r.cfg.Limit {
		return false, ErrFull
	}
	return known, nil
}

// named returns the learner whose name has the key.
func (r *Roster) named(key string) (Learner, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.byID {
		if _, of, err := cleanName(e.value.Name); err == nil && of == key {
			return e.value.clone(), true
		}
	}
	return Learner{}, false
}

// back gives a learner who was here a new session.
func (r *Roster) back(ctx context.Context, l Learner, j Join) (Joined, error) {
	own, err := r.Session(j.Token, j.Client)
	known := err == nil && own.ID == l.ID
	if !known && j.Return == "" {
		return Joined{}, ErrNameTaken
	}
	token, now := newToken(), r.cfg.Now()
	err = r.updateSecret(ctx, prefix+l.ID, func(c *credentials) error {
		if !known && !same(c.Return, hash(typed(j.Return))) {
			return ErrWrongReturn
		}
		if known { // its successor is the new one
			old := hash(j.Token)
			for i := range c.Sessions {
				if c.Sessions[i].Hash == old {
					c.Sessions = append(c.Sessions[:i:i], c.Sessions[i+1:]...)
					break
				}
			}
		}
		c.add(storedSession{Hash: hash(token), Until: now.Add(LearnerSession), Bearer: j.Client}, now)
		return nil
	})
	if err != nil {
		return Joined{}, err
	}
	if err := r.Update(ctx, l.ID, func(l *Learner) { l.Place = j.Place }); err != nil {
		return Joined{}, err
	}
	l, err = r.Learner(l.ID)
	return Joined{Learner: l, Token: token}, err
}

// add makes a new learner: the Secret first, since a learner without one could never be back.
func (r *Roster) add(ctx context.Context, name string, j Join) (Joined, error) {
	now := r.cfg.Now()
	out := Joined{New: true, Token: newToken(), Return: newCode(returnLetters)}
	out.Learner = Learner{ID: random(idLetters), Name: name, Place: j.Place, Joined: now.UTC()}
	id := out.Learner.ID
	secret := credentials{Return: hash(typed(out.Return)), Sessions: []storedSession{{Hash: hash(out.Token), Until: now.Add(LearnerSession), Bearer: j.Client}}}
	version, err := r.createSecret(ctx, prefix+id, ofLearner, secret)
	if err != nil {
		return Joined{}, fmt.Errorf("storing the learner: %w", err)
	}
	object := r.object(prefix+id, ofLearner)
	if object.Data, err = encodeLearner(out.Learner); err != nil {
		return Joined{}, err
	}
	stored, err := r.maps().Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		_ = r.secrets().Delete(ctx, prefix+id, metav1.DeleteOptions{}) // the next Open that prunes removes it otherwise
		return Joined{}, fmt.Errorf("storing the learner: %w", err)
	}
	r.set(prefix+id, func() {
		if r.byID[id] == nil { // the watch was not first
			r.byID[id] = &entry[Learner]{name: prefix + id, value: out.Learner, version: stored.ResourceVersion}
		}
		r.takeSessions(prefix+id, version, secret)
	})
	return out, nil
}

// Remove removes a learner, their progress and their credentials. The workbench is the caller's.
func (r *Roster) Remove(ctx context.Context, id string) error {
	for _, remove := range []func() error{
		func() error { return r.secrets().Delete(ctx, prefix+id, metav1.DeleteOptions{}) },
		func() error { return r.maps().Delete(ctx, prefix+id, metav1.DeleteOptions{}) },
	} {
		if err := remove(); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("removing learner %s: %w", id, err)
		}
	}
	r.drop(id)
	return nil
}

// SignOut ends all sessions of the learners; their return codes stay valid.
func (r *Roster) SignOut(ctx context.Context, learners []string) error {
	var all error
	for _, id := range learners {
		err := r.updateSecret(ctx, prefix+id, func(c *credentials) error { c.Sessions = nil; return nil })
		if err != nil && !apierrors.IsNotFound(err) {
			all = errors.Join(all, err)
		}
	}
	return all
}
