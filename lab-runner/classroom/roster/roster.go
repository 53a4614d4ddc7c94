package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// DefaultNamespace is where a class is kept.
const DefaultNamespace = "wheelhouse-class"

const (
	label     = "wheelhouse.dev/class" // on all objects of a class: its values are the next two
	ofClass   = "class"
	ofLearner = "learner"
	className = "class"         // of the class's ConfigMap and Secret
	prefix    = "learner-"      // of the names of a learner's
	valueKey  = "value.json"    // in a ConfigMap
	progress  = "progress.json" // in a learner's ConfigMap
)

// MaxProgress is the most bytes of a learner's Progress.
const MaxProgress = 256 << 10

// ErrNotFound is returned for a learner who is not, or no longer, in the class.
var ErrNotFound = errors.New("there is no such learner in the class")

// Config is what a Roster needs.
type Config struct {
	Client    kubernetes.Interface
	Namespace string // default DefaultNamespace
	Limit     int    // the most learners; 0: none may join
	// Prune removes the credentials of learners who are gone. It is for the process that serves the class: another one could take
	// those of who joins at the moment for such.
	Prune bool
	Now   func() time.Time
	Log   *slog.Logger
}

// Roster is the state of a class. Its methods are safe for concurrent use.
type Roster struct {
	cfg Config

	joining sync.Mutex // one name is taken once
	mu      sync.Mutex // of the fields below, and of the values of entries
	class   *entry[Class]
	byID    map[string]*entry[Learner]
	byToken map[string]session // by the hash of its token
	secret  map[string]string  // the resourceVersion of the Secret whose sessions byToken has, by name
	subs    map[*subscription]struct{}
}

// entry is an object of the API, as it was read or written last.
type entry[T any] struct {
	name    string
	writing sync.Mutex // held by the one who changes it
	value   T
	version string // resourceVersion
}

// Open reads the class, and makes it where there is none. first returns what a new class begins with.
func Open(ctx context.Context, cfg Config, first func() Class) (*Roster, error) {
	if cfg.Namespace == "" {
		cfg.Namespace = DefaultNamespace
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Roster{cfg: cfg, byID: map[string]*entry[Learner]{}, byToken: map[string]session{}, secret: map[string]string{}, subs: map[*subscription]struct{}{}}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: cfg.Namespace, Labels: map[string]string{label: ofClass}}}
	if _, err := cfg.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("the class's namespace: %w", err)
	}
	if err := r.openClass(ctx, first); err != nil {
		return nil, fmt.Errorf("the class in namespace %s: %w", cfg.Namespace, err)
	}
	if err := r.openLearners(ctx); err != nil {
		return nil, fmt.Errorf("the learners in namespace %s: %w", cfg.Namespace, err)
	}
	return r, nil
}

// Exists reports whether a class was ever opened in the namespace ("": DefaultNamespace) and was not removed.
func Exists(ctx context.Context, client kubernetes.Interface, namespace string) (bool, error) {
	if namespace == "" {
		namespace = DefaultNamespace
	}
	_, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, className, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (r *Roster) openClass(ctx context.Context, first func() Class) error {
	found, err := r.maps().Get(ctx, className, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		found = r.object(className, ofClass)
		if found.Data, err = encodeClass(first()); err != nil {
			return err
		}
		found, err = r.maps().Create(ctx, found, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	class, err := decodeClass(found)
	if err != nil {
		return err
	}
	r.class = &entry[Class]{name: className, value: class, version: found.ResourceVersion}
	return r.openCredentials(ctx)
}

func (r *Roster) openLearners(ctx context.Context) error {
	list, err := r.maps().List(ctx, metav1.ListOptions{LabelSelector: label + "=" + ofLearner})
	if err != nil {
		return err
	}
	for i := range list.Items {
		l, err := decodeLearner(&list.Items[i])
		if err != nil {
			return err
		}
		r.byID[l.ID] = &entry[Learner]{name: prefix + l.ID, value: l, version: list.Items[i].ResourceVersion}
	}
	return r.openSessions(ctx)
}

func encodeClass(c Class) (map[string]string, error) {
	b, err := json.Marshal(c)
	return map[string]string{valueKey: string(b)}, err
}

func decodeClass(m *corev1.ConfigMap) (c Class, err error) {
	if err := json.Unmarshal([]byte(m.Data[valueKey]), &c); err != nil {
		return c, fmt.Errorf("the config map %s is broken: %w; `wheelhouse kubectl delete namespace %s` removes the class", m.Name, err, m.Namespace)
	}
	return c, nil
}

func encodeLearner(l Learner) (map[string]string, error) {
	b, err := json.Marshal(l)
	data := map[string]string{valueKey: string(b)}
	if l.Progress != nil {
		data[progress] = string(l.Progress)
	}
	return data, err
}

func decodeLearner(m *corev1.ConfigMap) (l Learner, err error) {
	if err := json.Unmarshal([]byte(m.Data[valueKey]), &l); err != nil || prefix+l.ID != m.Name {
		return l, fmt.Errorf("the config map %s is broken (%w): `wheelhouse kubectl delete -n %s configmap %s` removes the learner", m.Name, err, m.Namespace, m.Name)
	}
	if text := m.Data[progress]; text != "" {
		l.Progress = json.RawMessage(text)
	}
	return l, nil
}

func (r *Roster) object(name, of string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: r.cfg.Namespace, Labels: map[string]string{label: of}}}
}

// Class returns what all learners have in common.
func (r *Roster) Class() Class {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.class.value.clone()
}

// Limit returns the most learners that the class may have.
func (r *Roster) Limit() int { return r.cfg.Limit }

// Count returns how many learners there are.
func (r *Roster) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byID)
}

// Learner returns a learner, or ErrNotFound.
func (r *Roster) Learner(id string) (Learner, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byID[id]; e != nil {
		return e.value.clone(), nil
	}
	return Learner{}, ErrNotFound
}

// Learners returns all learners, in the order of their names.
func (r *Roster) Learners() []Learner {
	r.mu.Lock()
	out := make([]Learner, 0, len(r.byID))
	for _, e := range r.byID {
		out = append(out, e.value.clone())
	}
	r.mu.Unlock()
	slices.SortFunc(out, func(a, b Learner) int {
		if c := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// UpdateClass changes the class; change may be called several times. It returns when the API server has stored the change.
func (r *Roster) UpdateClass(ctx context.Context, change func(*Class)) error {
	err := update(ctx, r, r.class, Class.clone, encodeClass, decodeClass, func(c *Class) error { change(c); return nil })
	if err != nil {
		return fmt.Errorf("changing the class: %w", err)
	}
	return nil
}

// Update changes a learner; change may be called several times. It returns when the API server has stored the change. A
// Progress beyond MaxProgress is refused.
func (r *Roster) Update(ctx context.Context, id string, change func(*Learner)) error {
	r.mu.Lock()
	e := r.byID[id]
	r.mu.Unlock()
	if e == nil {
		return ErrNotFound
	}
	err := update(ctx, r, e, Learner.clone, encodeLearner, decodeLearner, func(l *Learner) error {
		change(l)
		if len(l.Progress) > MaxProgress {
			return fmt.Errorf("the progress has %d bytes, and at most %d are kept", len(l.Progress), MaxProgress)
		}
		return nil
	})
	if apierrors.IsNotFound(err) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("changing learner %s: %w", id, err)
	}
	return nil
}

// attempts is how often a change meets that of another process before it is given up.
const attempts = 8

func update[T any](ctx context.Context, r *Roster, e *entry[T], clone func(T) T, encode func(T) (map[string]string, error), decode func(*corev1.ConfigMap) (T, error), change func(*T) error) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	var last error
	for range attempts {
		r.mu.Lock()
		before, version := e.value, e.version
		r.mu.Unlock()
		after := clone(before)
		if err := change(&after); err != nil {
			return err
		}
		if reflect.DeepEqual(before, after) {
			return nil
		}
		of := ofLearner
		if e.name == className {
			of = ofClass
		}
		object := r.object(e.name, of)
		object.ResourceVersion = version
		var err error
		if object.Data, err = encode(after); err != nil {
			return err
		}
		stored, err := r.maps().Update(ctx, object, metav1.UpdateOptions{})
		if err == nil {
			r.set(e.name, func() {
				if newer(stored.ResourceVersion, e.version) { // else the watch has a later one already
					e.value, e.version = after, stored.ResourceVersion
				}
			})
			return nil
		}
		if !apierrors.IsConflict(err) {
			return err
		}
		last = err
		found, err := r.maps().Get(ctx, e.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		value, err := decode(found)
		if err != nil {
			return err
		}
		r.set(e.name, func() { e.value, e.version = value, found.ResourceVersion })
	}
	return last
}

// set changes the cache, and signals the subscriptions of the object.
func (r *Roster) set(name string, change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	r.notify(name)
}
