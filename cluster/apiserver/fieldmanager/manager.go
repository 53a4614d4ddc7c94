package fieldmanager

import (
	"fmt"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"wheelhouse/cluster/api"
)

// Config is what a Manager needs.
type Config struct {
	// Kind and Subresource are what is written; New returns an empty object of the kind.
	Kind        schema.GroupVersionKind
	Subresource string
	New         func() api.Object
	// Versions are the groups and versions of the kind that are served.
	Versions  []schema.GroupVersion
	HasStatus bool
	// Types returns the schema of the kind. It is only called when it is needed: that of all Go
	// types takes some 100 ms and 30 MB.
	Types func() (managedfields.TypeConverter, error)
	// Converter converts between the versions, Defaulter sets the defaults of merged objects.
	Converter runtime.ObjectConvertor
	Defaulter runtime.ObjectDefaulter
	Maker     runtime.ObjectCreater
}

// Manager keeps the managedFields of the objects of a resource, for writes to it or to one
// of its subresources. It may be used concurrently.
type Manager struct {
	Config
	version string
	library func() (*managedfields.FieldManager, error)
	shape   *shape        // nil for objects without a Go type
	empty   reflect.Value // an object

	// What a write to the subresource cannot change, and so cannot own: whole fields of the
	// object, and the rest.
	skipped  map[string]bool
	excluded *fieldpath.Set
}

// New returns the Manager of a resource or subresource.
func New(c Config) *Manager {
	m := &Manager{Config: c, version: c.Kind.GroupVersion().String()}
	reset := resetFields(c.Kind.GroupKind(), c.Subresource, c.HasStatus)
	m.skipped, m.excluded = reset.split()
	m.library = sync.OnceValues(func() (*managedfields.FieldManager, error) {
		types, err := c.Types()
		if err != nil {
			return nil, err
		}
		// That of custom resources converts by way of one version, whatever the group.
		library, err := managedfields.NewDefaultCRDFieldManager(types, c.Converter, c.Defaulter, c.Maker,
			c.Kind, c.Kind.GroupVersion(), c.Subresource, reset.filters(c.Versions))
		if err != nil {
			return nil, fmt.Errorf("the field manager of %s: %w", c.Kind, err)
		}
		return library, nil
	})
	empty := c.New()
	m.empty = reflect.ValueOf(empty)
	if _, ok := empty.(*unstructured.Unstructured); !ok {
		if sh, err := shapeOfType(reflect.TypeOf(empty)); err == nil { // else it is left to the library
			m.shape = sh
		}
	}
	return m
}

// Apply returns live with the configuration that a manager applies, and its managedFields; live
// is an empty object if there is none yet. It may change live. Conflicts with other managers
// are an error unless force is set.
func (m *Manager) Apply(live api.Object, applied *unstructured.Unstructured, manager string, force bool) (api.Object, error) {
	live.GetObjectKind().SetGroupVersionKind(m.Kind)
	library, err := m.library()
	if err != nil {
		return nil, err
	}
	merged, err := library.Apply(live, applied.DeepCopy(), manager, force)
	if err != nil {
		return nil, err
	}
	return merged.(api.Object), nil
}
