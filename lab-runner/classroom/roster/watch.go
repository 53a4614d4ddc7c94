package roster

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
)

func (r *Roster) maps() typedv1.ConfigMapInterface {
	return r.cfg.Client.CoreV1().ConfigMaps(r.cfg.Namespace)
}

func (r *Roster) secrets() typedv1.SecretInterface {
	return r.cfg.Client.CoreV1().Secrets(r.cfg.Namespace)
}

// Run follows what other processes change, until ctx is done.
func (r *Roster) Run(ctx context.Context) error {
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = label
			return r.maps().List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = label
			return r.maps().Watch(ctx, o)
		},
	}
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: &corev1.ConfigMap{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { r.observe(o) },
			UpdateFunc: func(_, o any) { r.observe(o) },
			DeleteFunc: func(o any) { r.observeEnd(o) },
		},
	})
	controller.RunWithContext(ctx)
	return ctx.Err()
}

// observe takes a stored object into the cache, unless the cache has a later one.
func (r *Roster) observe(o any) {
	m, ok := o.(*corev1.ConfigMap)
	if !ok {
		return
	}
	if m.Name == className {
		c, err := decodeClass(m)
		if err != nil {
			r.cfg.Log.Warn("a change of the class is left out", "err", err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if newer(m.ResourceVersion, r.class.version) {
			r.class.value, r.class.version = c, m.ResourceVersion
			r.notify(className)
		}
		return
	}
	l, err := decodeLearner(m)
	if err != nil {
		r.cfg.Log.Warn("a change of a learner is left out", "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byID[l.ID]
	if e == nil {
		e = &entry[Learner]{name: m.Name}
		r.byID[l.ID] = e
	} else if !newer(m.ResourceVersion, e.version) {
		return
	}
	e.value, e.version = l, m.ResourceVersion
	r.notify(m.Name)
}

func (r *Roster) observeEnd(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	if m, ok := o.(*corev1.ConfigMap); ok {
		if id, ok := strings.CutPrefix(m.Name, prefix); ok {
			r.drop(id)
		}
	}
}

// drop removes a learner and their sessions from the cache.
func (r *Roster) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, id)
	delete(r.secret, prefix+id)
	for key, s := range r.byToken {
		if s.learner == id {
			delete(r.byToken, key)
		}
	}
	r.notify(prefix + id)
}

// newer reports whether a version is later than another. Of versions that cannot be compared it is true: the watch is right.
func newer(version, than string) bool {
	c, err := resourceversion.CompareResourceVersion(version, than)
	return err != nil || c > 0
}

// subscription is a channel of one signal for some objects.
type subscription struct {
	names  map[string]bool // nil: all
	signal chan struct{}
}

// Subscribe returns a channel that has a signal after changes of the class or of one of these learners; without a learner,
// of anything. Several changes may be one signal. end ends it.
func (r *Roster) Subscribe(learners ...string) (changed <-chan struct{}, end func()) {
	s := &subscription{signal: make(chan struct{}, 1)}
	if len(learners) > 0 {
		s.names = map[string]bool{className: true}
		for _, id := range learners {
			s.names[prefix+id] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs[s] = struct{}{}
	return s.signal, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subs, s)
	}
}

// Touch signals the subscriptions of a learner, for what the caller keeps beside the roster.
func (r *Roster) Touch(learner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify(prefix + learner)
}

// notify is called with mu held.
func (r *Roster) notify(name string) {
	for s := range r.subs {
		if s.names != nil && !s.names[name] {
			continue
		}
		select {
		case s.signal <- struct{}{}:
		default: // one is waiting already
		}
	}
}
