package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// How long credentials are valid, and how many one person may have.
const (
	LearnerSession    = 7 * 24 * time.Hour
	InstructorSession = 16 * time.Hour
	maxSessions       = 5
)

// Errors of credentials. They do not say more than what was wrong.
var (
	ErrWrongCode   = errors.New("the code is wrong: the instructor shows the room's code")
	ErrName        = errors.New("this cannot be a name")
	ErrNameTaken   = errors.New("the name is taken: if it is you, give your return code as well, else take another name")
	ErrWrongReturn = errors.New("the return code is wrong: the instructor can remove your entry, and you join again")
	ErrFull        = errors.New("the class is full: the instructor can start it with a larger --learners")
	ErrPassword    = errors.New("the password is wrong or was used already: `wheelhouse classroom password` makes a new one")
)

const credentialsKey = "credentials.json" // in a Secret

// credentials is the content of a Secret: of the class (Code, Password) or of a learner (Return).
type credentials struct {
	Code     string          `json:"code,omitempty"`
	Password string          `json:"password,omitempty"` // hash; empty: it was used
	Return   string          `json:"return,omitempty"`   // hash
	Sessions []storedSession `json:"sessions,omitempty"`
}

type storedSession struct {
	Hash  string    `json:"hash"`
	Until time.Time `json:"until"`
	// Bearer is set for a token of a client, which is no cookie.
	Bearer bool `json:"bearer,omitempty"`
}

// session is one that is valid: of a learner, or of the instructor.
type session struct {
	learner string // empty: the instructor's
	until   time.Time
	bearer  bool
}

func (c *credentials) add(s storedSession, now time.Time) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s storedSession) bool { return now.After(s.Until) })
	c.Sessions = append(c.Sessions, s)
	c.Sessions = c.Sessions[max(0, len(c.Sessions)-maxSessions):]
}

// openCredentials makes the class's Secret if there is none.
func (r *Roster) openCredentials(ctx context.Context) error {
	_, err := r.secrets().Get(ctx, className, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = r.createSecret(ctx, className, ofClass, credentials{Code: newCode(roomLetters)})
	}
	return err
}

// createSecret returns the resourceVersion.
func (r *Roster) createSecret(ctx context.Context, name, of string, c credentials) (version string, err error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	s := &corev1.Secret{ObjectMeta: r.object(name, of).ObjectMeta, Data: map[string][]byte{credentialsKey: b}}
	if s, err = r.secrets().Create(ctx, s, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	return s.ResourceVersion, nil
}

func (r *Roster) readSecret(ctx context.Context, name string) (*corev1.Secret, credentials, error) {
	var c credentials
	s, err := r.secrets().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, c, err
	}
	if err := json.Unmarshal(s.Data[credentialsKey], &c); err != nil {
		return nil, c, fmt.Errorf("the secret %s is broken: %w", name, err)
	}
	return s, c, nil
}

// updateSecret changes credentials as they are stored now, so that what is used up is used once.
func (r *Roster) updateSecret(ctx context.Context, name string, change func(*credentials) error) error {
	var last error
	for range attempts {
		s, c, err := r.readSecret(ctx, name)
		if err != nil {
			return err
		}
		if err := change(&c); err != nil {
			return err
		}
		b, err := json.Marshal(c)
		if err != nil {
			return err
		}
		s.Data[credentialsKey] = b
		s, last = r.secrets().Update(ctx, s, metav1.UpdateOptions{})
		if last == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.takeSessions(name, s.ResourceVersion, c)
			return nil
		}
		if !apierrors.IsConflict(last) {
			break
		}
	}
	return fmt.Errorf("storing credentials: %w", last)
}

// takeSessions takes the sessions of a Secret into the cache, unless the cache has those of a later version. It is called with mu
// held.
func (r *Roster) takeSessions(name, version string, c credentials) {
	if has, ok := r.secret[name]; ok && !newer(version, has) {
		return
	}
	r.secret[name] = version
	id := strings.TrimPrefix(name, prefix)
	if name == className {
		id = ""
	}
	for key, s := range r.byToken {
		if s.learner == id {
			delete(r.byToken, key)
		}
	}
	for _, s := range c.Sessions {
		r.byToken[s.Hash] = session{id, s.Until, s.Bearer}
	}
}

// joinTime is longer than the time between the two writes of a join: a Secret of that age without its learner is left over.
const joinTime = time.Minute

// openSessions reads all sessions, and removes the credentials of learners who are gone if Config says so.
func (r *Roster) openSessions(ctx context.Context) error {
	list, err := r.secrets().List(ctx, metav1.ListOptions{LabelSelector: label})
	if err != nil {
		return err
	}
	for i := range list.Items {
		s := &list.Items[i]
		if id, ok := strings.CutPrefix(s.Name, prefix); ok && r.byID[id] == nil {
			if !r.cfg.Prune || r.cfg.Now().Sub(s.CreationTimestamp.Time) < joinTime {
				continue
			}
			if err := r.secrets().Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			continue
		}
		var c credentials
		if err := json.Unmarshal(s.Data[credentialsKey], &c); err != nil {
			return fmt.Errorf("the secret %s is broken: %w", s.Name, err)
		}
		r.takeSessions(s.Name, s.ResourceVersion, c)
	}
	return nil
}

// Code returns the room's code.
func (r *Roster) Code(ctx context.Context) (string, error) {
	_, c, err := r.readSecret(ctx, className)
	if err != nil {
		return "", fmt.Errorf("the room's code: %w", err)
	}
	return c.Code, nil
}

// NewCode replaces the room's code. Afterwards nobody joins this Roster with the one before; a join by another process that has read it
// already may still succeed.
func (r *Roster) NewCode(ctx context.Context) (string, error) {
	r.joining.Lock()
	defer r.joining.Unlock()
	code := newCode(roomLetters)
	return code, r.updateSecret(ctx, className, func(c *credentials) error { c.Code = code; return nil })
}

// NewPassword makes a password of the instructor that is valid for one login; an earlier one that was not used ends.
func (r *Roster) NewPassword(ctx context.Context) (string, error) {
	password := newCode(passwordLetters)
	err := r.updateSecret(ctx, className, func(c *credentials) error { c.Password = hash(typed(password)); return nil })
	return password, err
}

// Login uses the instructor's password up, and returns the token of a new session.
func (r *Roster) Login(ctx context.Context, password string) (token string, err error) {
	token = newToken()
	now := r.cfg.Now()
	err = r.updateSecret(ctx, className, func(c *credentials) error {
		if !same(c.Password, hash(typed(password))) {
			return ErrPassword
		}
		c.Password = ""
		c.add(storedSession{Hash: hash(token), Until: now.Add(InstructorSession)}, now)
		return nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// Instructor reports whether the token is that of an instructor's session.
func (r *Roster) Instructor(token string) bool {
	s, ok := r.session(token)
	return ok && s.learner == ""
}

// Session returns the learner whose session the token is, or ErrNotFound. bearer says what kind of token is meant.
func (r *Roster) Session(token string, bearer bool) (Learner, error) {
	s, ok := r.session(token)
	if !ok || s.learner == "" || s.bearer != bearer {
		return Learner{}, ErrNotFound
	}
	return r.Learner(s.learner)
}

// session looks a token up by its hash, so that the time says nothing about other tokens.
func (r *Roster) session(token string) (session, bool) {
	if token == "" {
		return session{}, false
	}
	key := hash(token)
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.byToken[key]
	return s, ok && r.cfg.Now().Before(s.until)
}

// Logout ends the session of the token.
func (r *Roster) Logout(ctx context.Context, token string) error {
	s, ok := r.session(token)
	if !ok {
		return nil
	}
	name := className
	if s.learner != "" {
		name = prefix + s.learner
	}
	key := hash(token)
	return r.updateSecret(ctx, name, func(c *credentials) error {
		c.Sessions = slices.DeleteFunc(c.Sessions, func(s storedSession) bool { return s.Hash == key })
		return nil
	})
}
