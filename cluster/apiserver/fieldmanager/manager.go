package fieldmanager

import (
	"fmt"
	"reflect"

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
	// Types know the schema of the kind.
	Types managedfields.TypeConverter
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
	library *managedfields.FieldManager
	shape   *shape        // nil for objects without a Go type
	empty   reflect.Value // an object

	// What a write to the subresource cannot change, and so cannot own: whole fields of the
	// object, and the rest.
	skipped  map[string]bool
	excluded *fieldpath.Set
}

// New returns the Manager of a resource or subresource. Objects of a kind that Types do not
// know are not tracked, and cannot be applied.
func New(c Config) (*Manager, error) {
	m := &Manager{Config: c, version: c.Kind.GroupVersion().String()}
	reset := resetFields(c.Kind.GroupKind(), c.Subresource, c.HasStatus)
	m.skipped, m.excluded = reset.split()
	var err error
	// That of custom resources converts by way of one version, whatever the group.
	m.library, err = managedfields.NewDefaultCRDFieldManager(c.Types, c.Converter, c.Defaulter, c.Maker,
		c.Kind, c.Kind.GroupVersion(), c.Subresource, reset.filters(c.Versions))
	if err != nil {
		return nil, fmt.Errorf("the field manager of %s: %w", c.Kind, err)
	}
	empty := c.New()
	m.empty = reflect.ValueOf(empty)
	if _, ok := empty.(*unstructured.Unstructured); ok {
		return m, nil
	}
	if m.shape, err = shapeOfKind(c.Types, empty, c.Kind); err != nil {
		m.shape = nil //nolint:nilerr // left to the library
	}
	return m, nil
}

// shapeOfKind derives the shape of a kind.
func shapeOfKind(types managedfields.TypeConverter, empty api.Object, kind schema.GroupVersionKind) (*shape, error) {
	empty.GetObjectKind().SetGroupVersionKind(kind)
	typed, err := types.ObjectToTyped(empty)
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", kind, err)
	}
	derived := shapes{typed.Schema(), map[shapeOf]*shape{}}
	return derived.of(reflect.TypeOf(empty), typed.TypeRef())
}

// Apply returns live with the configuration that a manager applies, and its managedFields; live
// is an empty object if there is none yet. It may change live. Conflicts with other managers
// are an error unless force is set.
func (m *Manager) Apply(live api.Object, applied *unstructured.Unstructured, manager string, force bool) (api.Object, error) {
	live.GetObjectKind().SetGroupVersionKind(m.Kind)
	merged, err := m.library.Apply(live, applied.DeepCopy(), manager, force)
	if err != nil {
		return nil, err
	}
	return merged.(api.Object), nil
}
