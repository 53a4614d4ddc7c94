// Package rules is what the files of kinds are written with: functions that take the kind's own Go type,
// defaults, checks of fields and metadata, and the columns that kinds share. Nothing here does I/O.
package rules

import (
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

// Mutate makes a function of a kind from one that takes the kind's own Go type.
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

// The paths of an object's parts.
var (
	MetadataPath = field.NewPath("metadata")
	SpecPath     = field.NewPath("spec")
	StatusPath   = field.NewPath("status")
)

// The rules of names, as upstream's.
var (
	DNSSubdomain = apivalidation.NameIsDNSSubdomain
	DNSLabel     = apivalidation.NameIsDNSLabel
	DNS1035Label = apivalidation.NameIsDNS1035Label
	// PathSegment is the rule for names that only ever stand in a path (RBAC, whose
	// names have colons in them).
	PathSegment = path.ValidatePathSegmentName
)

// ValidateObjectMeta validates the metadata of a new object.
func ValidateObjectMeta(m *metav1.ObjectMeta, namespaced bool, name apivalidation.ValidateNameFunc) field.ErrorList {
	return apivalidation.ValidateObjectMetaAccessor(m, namespaced, name, MetadataPath)
}

// ValidateObjectMetaUpdate leaves the question whether a resourceVersion had to be sent to
// the server, which knows whether the write is conditional.
func ValidateObjectMetaUpdate(obj, old *metav1.ObjectMeta) field.ErrorList {
	if obj.ResourceVersion == "" {
		m := *obj
		m.ResourceVersion = old.ResourceVersion
		if m.ResourceVersion == "" {
			m.ResourceVersion = "0"
		}
		obj = &m
	}
	return apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, MetadataPath)
}

// Equal is equality in the API's sense: nil and empty are one, quantities compare by value.
func Equal(a, b any) bool { return apiequality.Semantic.DeepEqual(a, b) }

// Immutable reports a field that differs from the old one.
func Immutable(obj, old any, p *field.Path) field.ErrorList {
	return apivalidation.ValidateImmutableField(obj, old, p)
}

// SetDefault fills in a value that was left at its zero.
func SetDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// SetDefaultPtr fills in a pointer that was left nil.
func SetDefaultPtr[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// OneOf reports a value that is not among the supported ones, which are given in the
// order in which the message lists them.
func OneOf[T ~string](v T, p *field.Path, supported ...T) field.ErrorList {
	for _, s := range supported {
		if v == s {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(p, v, supported)}
}

// RequiredOneOf is oneOf for a field that must be there.
func RequiredOneOf[T ~string](v T, p *field.Path, supported ...T) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	return OneOf(v, p, supported...)
}

// Invalid makes one error of each message.
func Invalid(p *field.Path, v any, messages []string) field.ErrorList {
	var out field.ErrorList
	for _, m := range messages {
		out = append(out, field.Invalid(p, v, m))
	}
	return out
}

// Now is the clock of the AGE columns; tests stop it.
var Now = time.Now

// Age is how AGE columns print the time since t.
func Age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(Now().Sub(t.Time))
}

// OrNone returns s, or <none> if it is empty.
func OrNone(s string) string { return Or(s, "<none>") }

// Or returns s, or the other value if it is empty.
func Or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// Column is one column; priority 1 shows with -o wide only.
func Column(name, typ string, priority int32, description string) metav1.TableColumnDefinition {
	c := metav1.TableColumnDefinition{Name: name, Type: typ, Priority: priority, Description: description}
	if name == "Name" {
		c.Format = "name"
	}
	return c
}

// The columns that most kinds have.
var (
	NameColumn = Column("Name", "string", 0, "Name is unique within a namespace, and cannot be changed.")
	AgeColumn  = Column("Age", "string", 0, "Time since the object was created.")
)

// CreatedAtColumn is the column of the kinds whose age says little.
var CreatedAtColumn = metav1.TableColumnDefinition{
	Name: "Created At", Type: "date",
	Description: "Time at which the object was created.",
}

// CreatedAt is the cell of CreatedAtColumn.
func CreatedAt(m *metav1.ObjectMeta) string { return m.CreationTimestamp.UTC().Format(time.RFC3339) }

// IsTrue reports whether a pointer is set to true.
func IsTrue(b *bool) bool { return b != nil && *b }

// Lifecycle is what happens to status and generation of a kind with a spec and a status:
// clients write the one or the other, and the generation counts the specs.
type Lifecycle struct {
	Create         func(obj api.Object)
	Update, Status func(obj, old api.Object)
}

// SpecAndStatus returns the Lifecycle of a kind, given where it has the two.
func SpecAndStatus[T api.Object, S, U any](of func(T) (*S, *U)) Lifecycle {
	return Lifecycle{
		Create: Mutate(func(obj T) {
			_, status := of(obj)
			*status = *new(U)
			obj.SetGeneration(1)
		}),
		Update: MutateUpdate(func(obj, old T) {
			spec, status := of(obj)
			oldSpec, oldStatus := of(old)
			*status = *oldStatus
			obj.SetGeneration(NextGeneration(old, *spec, *oldSpec))
		}),
		Status: MutateUpdate(func(obj, old T) {
			spec, _ := of(obj)
			oldSpec, _ := of(old)
			*spec = *oldSpec
			obj.SetGeneration(old.GetGeneration())
		}),
	}
}

// NextGeneration is the generation of old's successor: another one if what it asks for
// differs.
func NextGeneration(old api.Object, spec, oldSpec any) int64 {
	if Equal(spec, oldSpec) {
		return old.GetGeneration()
	}
	return old.GetGeneration() + 1
}

// SetAnnotation sets an annotation, or takes it away when there is no value. The map is
// copied: it may be shared.
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
