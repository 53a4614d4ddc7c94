// Package rules has the helpers that the packages of kinds share: adapters from functions of a Go type to
// functions of api.Object, defaults, validation of fields and metadata, and common columns. Nothing here does
// I/O.
package rules

import (
	"cmp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
)

// Mutate adapts a function of the kind's Go type to a function of api.Object.
func Mutate[T api.Object](f func(T)) func(api.Object) { return func(o api.Object) { f(o.(T)) } }

// MutateUpdate is Mutate for functions of an object and the one that it replaces.
func MutateUpdate[T api.Object](f func(obj, old T)) func(obj, old api.Object) {
	return func(obj, old api.Object) { f(obj.(T), old.(T)) }
}

// Typed is Mutate for functions with a result.
func Typed[T api.Object, R any](f func(T) R) func(api.Object) R {
	return func(o api.Object) R { return f(o.(T)) }
}

// TypedUpdate is MutateUpdate for functions with a result.
func TypedUpdate[T api.Object, R any](f func(obj, old T) R) func(obj, old api.Object) R {
	return func(obj, old api.Object) R { return f(obj.(T), old.(T)) }
}

// The paths of the fields that most objects have.
var (
	MetadataPath = field.NewPath("metadata")
	SpecPath     = field.NewPath("spec")
	StatusPath   = field.NewPath("status")
)

// The rules for names, as upstream's.
var (
	DNSSubdomain = apivalidation.NameIsDNSSubdomain
	DNSLabel     = apivalidation.NameIsDNSLabel
	DNS1035Label = apivalidation.NameIsDNS1035Label
	// PathSegment is the rule for names that are used in paths only, such as those of RBAC, which may have
	// colons.
	PathSegment = path.ValidatePathSegmentName //nolint:staticcheck // upstream's kinds use it too
)

// ValidateObjectMeta validates the metadata of a new object.
func ValidateObjectMeta(m metav1.Object, namespaced bool, name apivalidation.ValidateNameFunc) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaAccessor(m, namespaced, name, MetadataPath)
	return append(errs, validateKubeFinalizers(m.GetFinalizers(), MetadataPath.Child("finalizers"))...)
}

// ValidatePlainMeta is ValidateObjectMeta without the rule for unqualified finalizers, which upstream has not for some kinds.
func ValidatePlainMeta(m metav1.Object, namespaced bool, name apivalidation.ValidateNameFunc) field.ErrorList {
	return apivalidation.ValidateObjectMetaAccessor(m, namespaced, name, MetadataPath)
}

// validateKubeFinalizers reports finalizers that are neither standard ones nor have a prefix.
func validateKubeFinalizers(finalizers []string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, f := range finalizers {
		errs = append(errs, ValidateKubeFinalizerName(f, p.Index(i))...)
	}
	return errs
}

// ValidateKubeFinalizerName reports a finalizer that is not qualified, except for the standard ones.
func ValidateKubeFinalizerName(name string, p *field.Path) field.ErrorList {
	switch name {
	case string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents:
		return nil
	}
	if strings.Contains(name, "/") {
		return nil
	}
	return field.ErrorList{field.Invalid(p, name, "name is neither a standard finalizer name nor is it fully qualified")}
}

// ValidateObjectMetaUpdate validates the metadata of an update. It does not require a resourceVersion: the
// server decides whether the write is conditional.
func ValidateObjectMetaUpdate(obj, old *metav1.ObjectMeta) field.ErrorList {
	if obj.ResourceVersion == "" {
		m := *obj
		m.ResourceVersion = old.ResourceVersion
		if m.ResourceVersion == "" {
			m.ResourceVersion = "0"
		}
		obj = &m
	}
	return append(ValidatePlainMetaUpdate(obj, old), validateKubeFinalizers(obj.Finalizers, MetadataPath.Child("finalizers"))...)
}

// ValidatePlainMetaUpdate is ValidateObjectMetaUpdate without the rule for unqualified finalizers.
func ValidatePlainMetaUpdate(obj, old metav1.Object) field.ErrorList {
	return apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, MetadataPath)
}

// ValidateCommonFields validates the metadata of an update by the rules of all kinds. The server reports them before
// those of the kind, which repeat some: clients get both, as from upstream's BeforeUpdate.
func ValidateCommonFields(obj, old metav1.Object, namespaced bool) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaAccessor(obj, namespaced, PathSegment, MetadataPath)
	return append(errs, apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, MetadataPath)...)
}

// Validate returns a kind's Validate: the rules of metadata, then check.
func Validate[T api.Object](namespaced bool, name apivalidation.ValidateNameFunc, check func(T) field.ErrorList) func(api.Object) field.ErrorList {
	return func(obj api.Object) field.ErrorList {
		return append(ValidateObjectMeta(obj, namespaced, name), check(obj.(T))...)
	}
}

// ValidateUpdate returns a kind's ValidateUpdate: the rules of metadata, then check of the new object, then the
// checks of the update.
func ValidateUpdate[T api.Object](check func(T) field.ErrorList, update ...func(obj, old T) field.ErrorList) func(obj, old api.Object) field.ErrorList {
	return func(obj, old api.Object) field.ErrorList {
		errs := append(ValidateObjectMetaUpdate(objectMeta(obj), objectMeta(old)), check(obj.(T))...)
		for _, u := range update {
			errs = append(errs, u(obj.(T), old.(T))...)
		}
		return errs
	}
}

// WholeUpdate returns the ValidateUpdate of a kind whose updates are validated as creations are, and then by the rules of
// metadata's updates and by update.
func WholeUpdate[T api.Object](create func(api.Object) field.ErrorList, update ...func(obj, old T) field.ErrorList) func(obj, old api.Object) field.ErrorList {
	return func(obj, old api.Object) field.ErrorList {
		errs := append(create(obj), ValidateObjectMetaUpdate(objectMeta(obj), objectMeta(old))...)
		for _, u := range update {
			errs = append(errs, u(obj.(T), old.(T))...)
		}
		return errs
	}
}

func objectMeta(o api.Object) *metav1.ObjectMeta {
	return o.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
}

// ValidateAnnotations validates annotations and bounds their size.
func ValidateAnnotations(annotations map[string]string, p *field.Path) field.ErrorList {
	return apivalidation.ValidateAnnotations(annotations, p)
}

// Equal reports semantic equality: nil and empty are equal, quantities compare by value.
func Equal(a, b any) bool { return apiequality.Semantic.DeepEqual(a, b) }

// Immutable reports a field that an update changes.
func Immutable(obj, old any, p *field.Path) field.ErrorList {
	return apivalidation.ValidateImmutableField(obj, old, p)
}

// SetDefault sets a value that is zero.
func SetDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// SetDefaultPtr sets a pointer that is nil.
func SetDefaultPtr[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// OneOf reports an unsupported value. The error lists the supported ones in their order.
func OneOf[T ~string](v T, p *field.Path, supported ...T) field.ErrorList {
	for _, s := range supported {
		if v == s {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(p, v, supported)}
}

// RequiredOneOf is OneOf for a required field.
func RequiredOneOf[T ~string](v T, p *field.Path, supported ...T) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	return OneOf(v, p, supported...)
}

// Required reports an empty required field.
func Required[T ~string](v T, p *field.Path) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	return nil
}

// RequiredValue validates a required field. The check returns the messages of what is wrong with a value.
func RequiredValue(v string, p *field.Path, check func(string) []string) field.ErrorList {
	if v == "" {
		return Required(v, p)
	}
	return Invalid(p, v, check(v))
}

// OptionalValue is RequiredValue for an optional field.
func OptionalValue(v string, p *field.Path, check func(string) []string) field.ErrorList {
	if v == "" {
		return nil
	}
	return Invalid(p, v, check(v))
}

// OptionalPointer is RequiredValue for an optional field that is a pointer.
func OptionalPointer[T any](v *T, p *field.Path, check func(T) []string) field.ErrorList {
	if v == nil {
		return nil
	}
	return Invalid(p, *v, check(*v))
}

// OptionalOneOf is OneOf for an optional field.
func OptionalOneOf[T ~string](v *T, p *field.Path, supported ...T) field.ErrorList {
	if v == nil {
		return nil
	}
	return OneOf(*v, p, supported...)
}

// Unique reports the value v at p if its key is in seen, to which it adds the key.
func Unique[K comparable](seen map[K]bool, key K, p *field.Path, v any) field.ErrorList {
	if seen[key] {
		return field.ErrorList{field.Duplicate(p, v)}
	}
	seen[key] = true
	return nil
}

// Invalid returns an error for each message.
func Invalid(p *field.Path, v any, messages []string) field.ErrorList {
	var out field.ErrorList
	for _, m := range messages {
		out = append(out, field.Invalid(p, v, m))
	}
	return out
}

// Now is the clock of the AGE columns. Tests replace it.
var Now = time.Now

// Age returns the time since t for an AGE column.
func Age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(Now().Sub(t.Time))
}

// OrNone returns s, or <none> if it is empty.
func OrNone(s string) string { return cmp.Or(s, "<none>") }

// Column returns the definition of a column. Priority 1 is for -o wide.
func Column(name, typ string, priority int32, description string) metav1.TableColumnDefinition {
	c := metav1.TableColumnDefinition{Name: name, Type: typ, Priority: priority, Description: description}
	if name == "Name" {
		c.Format = "name"
	}
	return c
}

// The columns that most kinds have.
var (
	NameColumn = Column("Name", "string", 0, Doc(metav1.ObjectMeta{}, "name"))
	AgeColumn  = Column("Age", "string", 0, Doc(metav1.ObjectMeta{}, "creationTimestamp"))
)

// Doc returns what a type says of its field of a name in JSON: upstream describes columns with it.
func Doc(of interface{ SwaggerDoc() map[string]string }, field string) string {
	return of.SwaggerDoc()[field]
}

// CreatedAtColumn has the creation time instead of the age.
var CreatedAtColumn = metav1.TableColumnDefinition{
	Name: "Created At", Type: "date",
	Description: Doc(metav1.ObjectMeta{}, "creationTimestamp"),
}

// CreatedAt returns the cell of CreatedAtColumn.
func CreatedAt(m *metav1.ObjectMeta) string { return m.CreationTimestamp.UTC().Format(time.RFC3339) }

// SpecAndStatus sets the Prepare functions of a kind with spec and status and returns it. PrepareCreate is kept if it
// is set. The two parts are written separately, and the generation counts the changes of the spec.
func SpecAndStatus[T api.Object, S, U any](k *api.Kind, parts func(T) (*S, *U)) *api.Kind {
	if k.PrepareCreate == nil {
		k.PrepareCreate = Mutate(func(obj T) {
			_, status := parts(obj)
			*status = *new(U)
			obj.SetGeneration(1)
		})
	}
	k.PrepareUpdate = MutateUpdate(func(obj, old T) {
		spec, status := parts(obj)
		oldSpec, oldStatus := parts(old)
		*status = *oldStatus
		obj.SetGeneration(NextGeneration(old, *spec, *oldSpec))
	})
	k.PrepareStatus = MutateUpdate(func(obj, old T) {
		spec, _ := parts(obj)
		oldSpec, _ := parts(old)
		*spec = *oldSpec
		obj.SetGeneration(old.GetGeneration())
	})
	return k
}

// NextGeneration returns the generation of an update: one more than old's if the spec changes.
func NextGeneration(old api.Object, spec, oldSpec any) int64 {
	if Equal(spec, oldSpec) {
		return old.GetGeneration()
	}
	return old.GetGeneration() + 1
}

// SetAnnotation sets an annotation, or removes it if the value is empty. The map is copied, as it may be shared.
func SetAnnotation(m *metav1.ObjectMeta, name, value string) {
	out := make(map[string]string, len(m.Annotations)+1)
	for k, v := range m.Annotations {
		if k != name {
			out[k] = v
		}
	}
	if value != "" {
		out[name] = value
	}
	if len(out) == 0 {
		out = nil
	}
	m.Annotations = out
}

// Protocols are the protocols of ports.
var Protocols = []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}
