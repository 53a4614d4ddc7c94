package core

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

const maxEventText, maxEventNote = 128, 1024 // bytes

// validateEvent validates an event of any version. Most rules apply only to events with an eventTime, which events.k8s.io
// clients set. The controller is the name of that field in the version.
func validateEvent(e *corev1.Event, controller string) field.ErrorList {
	var errs field.ErrorList
	ns := e.InvolvedObject.Namespace
	mismatch := func() {
		errs = append(errs, field.Invalid(field.NewPath("involvedObject", "namespace"), ns, "does not match event.namespace"))
	}
	if e.EventTime.IsZero() {
		if ns == "" && e.Namespace != metav1.NamespaceDefault || ns != "" && ns != e.Namespace {
			mismatch()
		}
		return append(errs, rules.Invalid(field.NewPath("namespace"), e.Namespace, validation.IsDNS1123Subdomain(e.Namespace))...)
	}
	if ns == "" && e.Namespace != metav1.NamespaceDefault && e.Namespace != metav1.NamespaceSystem {
		mismatch()
	}
	errs = append(errs, rules.Required(e.ReportingController, field.NewPath(controller))...)
	errs = append(errs, rules.Invalid(field.NewPath(controller), e.ReportingController, validation.IsQualifiedName(e.ReportingController))...)
	for _, f := range []struct {
		name, value string
		optional    bool
		max         int
	}{
		{"reportingInstance", e.ReportingInstance, false, maxEventText},
		{"action", e.Action, false, maxEventText},
		{"reason", e.Reason, false, maxEventText},
		{"message", e.Message, true, maxEventNote},
	} {
		p := field.NewPath(f.name)
		if !f.optional {
			errs = append(errs, rules.Required(f.value, p)...)
		}
		if len(f.value) > f.max {
			errs = append(errs, field.Invalid(p, "", fmt.Sprintf("can have at most %d characters", f.max)))
		}
	}
	return append(errs, rules.Invalid(field.NewPath("namespace"), e.Namespace, validation.IsDNS1123Subdomain(e.Namespace))...)
}

// validateEventV1 has the rules of events.k8s.io/v1, which demands more of a new event.
func validateEventV1(e *corev1.Event) field.ErrorList {
	errs := validateEvent(e, "reportingController")
	errs = append(errs, rules.ValidateObjectMeta(&e.ObjectMeta, true, rules.DNSSubdomain)...)
	errs = append(errs, validateEventSeries(e.Series)...)
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(field.NewPath("type"), "", fmt.Sprintf("has invalid value: %v", e.Type)))
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"firstTimestamp", !e.FirstTimestamp.IsZero()},
		{"lastTimestamp", !e.LastTimestamp.IsZero()},
		{"count", e.Count != 0},
		{"source", e.Source != corev1.EventSource{}},
	} {
		if f.set {
			errs = append(errs, field.Invalid(field.NewPath(f.name), "", "needs to be unset"))
		}
	}
	return errs
}

func validateEventSeries(s *corev1.EventSeries) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	if s.Count < 2 {
		errs = append(errs, field.Invalid(field.NewPath("series.count"), "", "should be at least 2"))
	}
	if s.LastObservedTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("series.lastObservedTime"), ""))
	}
	return errs
}

// validateEventV1Update reports changes other than of the series and the metadata.
func validateEventV1Update(e, old *corev1.Event) field.ErrorList {
	errs := validateEvent(e, "reportingController")
	errs = append(errs, rules.ValidateObjectMetaUpdate(&e.ObjectMeta, &old.ObjectMeta)...)
	if !rules.Equal(e.Series, old.Series) {
		errs = append(errs, validateEventSeries(e.Series)...)
	}
	same := func(name string, now, was any) {
		errs = append(errs, rules.Immutable(now, was, field.NewPath(name))...)
	}
	same("involvedObject", e.InvolvedObject, old.InvolvedObject)
	same("reason", e.Reason, old.Reason)
	same("message", e.Message, old.Message)
	same("source", e.Source, old.Source)
	same("firstTimestamp", e.FirstTimestamp, old.FirstTimestamp)
	same("lastTimestamp", e.LastTimestamp, old.LastTimestamp)
	same("count", e.Count, old.Count)
	same("reason", e.Reason, old.Reason) // twice, as upstream
	same("type", e.Type, old.Type)
	if !e.EventTime.Truncate(time.Microsecond).Equal(old.EventTime.Truncate(time.Microsecond)) {
		same("eventTime", e.EventTime, old.EventTime)
	}
	same("action", e.Action, old.Action)
	same("related", e.Related, old.Related)
	same("reportingController", e.ReportingController, old.ReportingController)
	same("reportingInstance", e.ReportingInstance, old.ReportingInstance)
	return errs
}
