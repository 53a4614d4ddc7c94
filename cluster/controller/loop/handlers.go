package loop

import "k8s.io/client-go/tools/cache"

// Each calls f with the latest state of an object that was added, updated or deleted.
func Each[T any](f func(T)) cache.ResourceEventHandler {
	return Changes(func(old, now *T) {
		switch {
		case now != nil:
			f(*now)
		case old != nil:
			f(*old)
		}
	})
}

// Changes calls f with the old and the new state: old is nil for an object that was added,
// now is nil for one that was deleted.
func Changes[T any](f func(old, now *T)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if t, ok := o.(T); ok {
				f(nil, &t)
			}
		},
		UpdateFunc: func(o, n any) {
			old, ok1 := o.(T)
			now, ok2 := n.(T)
			if ok1 && ok2 {
				f(&old, &now)
			}
		},
		DeleteFunc: func(o any) {
			if t, ok := Gone[T](o); ok {
				f(&t, nil)
			}
		},
	}
}

// Gone returns the object of a delete handler's argument: the object, or the last known
// state of one whose deletion was missed.
func Gone[T any](o any) (T, bool) {
	if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = d.Obj
	}
	t, ok := o.(T)
	return t, ok
}

// Key returns namespace/name, or name for an object without a namespace.
func Key(o interface {
	GetNamespace() string
	GetName() string
},
) string {
	if ns := o.GetNamespace(); ns != "" {
		return ns + "/" + o.GetName()
	}
	return o.GetName()
}

// Split is the inverse of Key: it returns namespace and name.
func Split(key string) (namespace, name string) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return "", key
	}
	return namespace, name
}
