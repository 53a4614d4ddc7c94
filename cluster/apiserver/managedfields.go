package apiserver

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/fieldmanager"
	"wheelhouse/cluster/apiserver/openapi"
)

// managers are the field managers of a resource, by the name of the subresource. One is made
// when it is first needed.
type managers struct {
	of sync.Map // of *fieldmanager.Manager
}

func (m *managers) get(subresource string, make func() *fieldmanager.Manager) *fieldmanager.Manager {
	known, ok := m.of.Load(subresource)
	if !ok {
		known, _ = m.of.LoadOrStore(subresource, make())
	}
	return known.(*fieldmanager.Manager)
}

// fieldManager returns that of the request's resource or subresource.
func (r *lifecycle) fieldManager() *fieldmanager.Manager {
	s, res := r.s, r.res // the request is not kept
	return res.managers.get(r.Subresource, func() *fieldmanager.Manager {
		v := versions{api.Scheme, r.routes.table}
		return fieldmanager.New(fieldmanager.Config{
			Kind: res.GroupVersionKind, Subresource: r.Subresource, New: res.New, Versions: versionsOf(res.Kind), HasStatus: res.HasStatus,
			Types: func() (managedfields.TypeConverter, error) { return s.typesOf(res.Kind) }, Converter: v, Defaulter: defaulter{res}, Maker: v,
		})
	})
}

// versionsOf returns the versions in which a kind is served.
func versionsOf(k *api.Kind) []schema.GroupVersion {
	stored := k.Storage()
	all := []schema.GroupVersion{stored.GroupVersion()}
	for i := range stored.Versions {
		all = append(all, stored.Versions[i].GroupVersion)
	}
	return all
}

// typesOf returns how the objects of a kind are merged: by their Go types, by the schema, or
// by what they are.
func (s *Server) typesOf(k *api.Kind) (managedfields.TypeConverter, error) {
	own := k.Schema == nil && k.Codec == nil
	switch {
	case own && k.Supports(api.Protobuf):
		return s.types(), nil
	case k.Schema == nil: // client-go has merge rules for the types of k8s.io/api only, which all have protobuf
		return managedfields.NewDeducedTypeConverter(), nil
	}
	schemas, err := openapi.Schemas(k)
	if err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(schemas, true)
}

// defaulter sets the kind's defaults for the merge.
type defaulter struct{ r *resource }

func (d defaulter) Default(in runtime.Object) {
	if obj, ok := in.(api.Object); ok && d.r.Stored == nil {
		call(d.r.Default, obj)
	}
}

// track sets the managedFields of obj, which has its defaults and follows old; without old it is
// new. Fields are owned in the version of the request.
func (r *lifecycle) track(ctx context.Context, obj, old api.Object, o *writeOptions) error {
	if o.applied {
		return nil
	}
	if o.untracked {
		obj.SetManagedFields(nil)
		return nil
	}
	m := r.fieldManager()
	shown, err := r.res.fromStored(ctx, obj)
	if err != nil {
		return err
	}
	if old == nil {
		m.Create(shown, o.manager)
	} else {
		live, err := r.res.fromStored(ctx, old)
		if err != nil {
			return err
		}
		m.Update(live, shown, o.manager)
	}
	if shown != obj {
		obj.SetManagedFields(shown.GetManagedFields())
	}
	return nil
}
