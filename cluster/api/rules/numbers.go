package rules

import (
	"strconv"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Error texts for numbers.
const (
	NotInteger = "must be an integer"
	IsNegative = apivalidation.IsNegativeErrorMsg
)

// NonNegative reports a negative number.
func NonNegative(v int64, p *field.Path) field.ErrorList {
	return apivalidation.ValidateNonnegativeField(v, p)
}

// NonNegativePtr is NonNegative for an optional field.
func NonNegativePtr(v *int32, p *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	return NonNegative(int64(*v), p)
}

// ValidatePositiveIntOrPercent validates a number or a percentage such as "25%".
func ValidatePositiveIntOrPercent(v intstr.IntOrString, p *field.Path) field.ErrorList {
	switch v.Type {
	case intstr.String:
		return Invalid(p, v, validation.IsValidPercent(v.StrVal))
	case intstr.Int:
		return NonNegative(int64(v.IntValue()), p)
	}
	return field.ErrorList{field.Invalid(p, v, "must be an integer or percentage (e.g '5%%')")}
}

// IsNotMoreThan100Percent reports a percentage above 100.
func IsNotMoreThan100Percent(v intstr.IntOrString, p *field.Path) field.ErrorList {
	if n, ok := percentValue(v); ok && n > 100 {
		return field.ErrorList{field.Invalid(p, v, "must not be greater than 100%")}
	}
	return nil
}

func percentValue(v intstr.IntOrString) (n int, ok bool) {
	if v.Type != intstr.String || len(validation.IsValidPercent(v.StrVal)) > 0 {
		return 0, false
	}
	n, err := strconv.Atoi(v.StrVal[:len(v.StrVal)-1])
	return n, err == nil
}

// IsZeroIntOrPercent reports whether a number or percentage is zero.
func IsZeroIntOrPercent(v intstr.IntOrString) bool {
	if n, ok := percentValue(v); ok {
		return n == 0
	}
	return v.IntValue() == 0
}

// NamedCount is a number in a status and the name of its field.
type NamedCount struct {
	Name  string
	Value int64
}

// Count returns the NamedCount of a field.
func Count[N int32 | int64](name string, value N) NamedCount { return NamedCount{name, int64(value)} }

// NonNegativeCounts reports each negative number in a status.
func NonNegativeCounts(counts ...NamedCount) field.ErrorList {
	var errs field.ErrorList
	for _, n := range counts {
		errs = append(errs, NonNegative(n.Value, StatusPath.Child(n.Name))...)
	}
	return errs
}

// NotGreater reports each number in a status that is greater than another one.
func NotGreater(limit int32, message string, counts ...NamedCount) field.ErrorList {
	var errs field.ErrorList
	for _, n := range counts {
		if n.Value > int64(limit) {
			errs = append(errs, field.Invalid(StatusPath.Child(n.Name), n.Value, message))
		}
	}
	return errs
}
