package api

import (
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// do, do2, as and as2 let a kind's functions take the kind's own type.

func do[T Object](f func(T)) func(Object) { return func(o Object) { f(o.(T)) } }

func do2[T Object](f func(obj, old T)) func(obj, old Object) {
	return func(obj, old Object) { f(obj.(T), old.(T)) }
}

func as[T Object, R any](f func(T) R) func(Object) R { return func(o Object) R { return f(o.(T)) } }

func as2[T Object, R any](f func(obj, old T) R) func(obj, old Object) R {
	return func(obj, old Object) R { return f(obj.(T), old.(T)) }
}

func gvk(group, version, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: group, Version: version, Kind: kind}
}

var (
	metadataPath = field.NewPath("metadata")
	specPath     = field.NewPath("spec")
	statusPath   = field.NewPath("status")
)

var (
	dnsSubdomain = apivalidation.NameIsDNSSubdomain
	dnsLabel     = apivalidation.NameIsDNSLabel
	dns1035Label = apivalidation.NameIsDNS1035Label
	// pathSegment is the rule for names that only ever stand in a path (RBAC, whose
	// names have colons in them).
	pathSegment = path.ValidatePathSegmentName
)

func checkMeta(m *metav1.ObjectMeta, namespaced bool, name apivalidation.ValidateNameFunc) field.ErrorList {
	return apivalidation.ValidateObjectMetaAccessor(m, namespaced, name, metadataPath)
}

// checkMetaUpdate leaves the question whether a resourceVersion had to be sent to
// the server, which knows whether the write is conditional.
func checkMetaUpdate(obj, old *metav1.ObjectMeta) field.ErrorList {
	if obj.ResourceVersion == "" {
		m := *obj
		m.ResourceVersion = old.ResourceVersion
		if m.ResourceVersion == "" {
			m.ResourceVersion = "0"
		}
		obj = &m
	}
	return apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, metadataPath)
}

// same is equality in the API's sense: nil and empty are one, quantities compare by value.
func same(a, b any) bool { return apiequality.Semantic.DeepEqual(a, b) }

func immutable(obj, old any, p *field.Path) field.ErrorList {
	return apivalidation.ValidateImmutableField(obj, old, p)
}

// setDefault fills in a value that was left at its zero.
func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// setDefaultPtr fills in a pointer that was left nil.
func setDefaultPtr[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// oneOf reports a value that is not among the supported ones, which are given in the
// order in which the message lists them.
func oneOf[T ~string](v T, p *field.Path, supported ...T) field.ErrorList {
	for _, s := range supported {
		if v == s {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(p, v, supported)}
}

// requiredOneOf is oneOf for a field that must be there.
func requiredOneOf[T ~string](v T, p *field.Path, supported ...T) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	return oneOf(v, p, supported...)
}

// invalid makes one error of each message.
func invalid(p *field.Path, v any, messages []string) field.ErrorList {
	var out field.ErrorList
	for _, m := range messages {
		out = append(out, field.Invalid(p, v, m))
	}
	return out
}

// now is the clock of the AGE columns; tests stop it.
var now = time.Now

// age is how AGE columns print the time since t.
func age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now().Sub(t.Time))
}

func orNone(s string) string { return or(s, "<none>") }

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// col is one column; priority 1 shows with -o wide only.
func col(name, typ string, priority int32, description string) metav1.TableColumnDefinition {
	c := metav1.TableColumnDefinition{Name: name, Type: typ, Priority: priority, Description: description}
	if name == "Name" {
		c.Format = "name"
	}
	return c
}

var (
	nameColumn = col("Name", "string", 0, "Name is unique within a namespace, and cannot be changed.")
	ageColumn  = col("Age", "string", 0, "Time since the object was created.")
)

// createdAtColumn is the column of the kinds whose age says little.
var createdAtColumn = metav1.TableColumnDefinition{
	Name: "Created At", Type: "date",
	Description: "Time at which the object was created.",
}

func createdAt(m *metav1.ObjectMeta) string { return m.CreationTimestamp.UTC().Format(time.RFC3339) }
