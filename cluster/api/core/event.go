package core

import (
	"strings"

	eventsv1beta1 "k8s.io/api/events/v1beta1"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Events is the kind Event. The store deletes events after an hour.
var Events = api.Of[corev1.Event, corev1.EventList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Event"),
	Plural:           "events", Singular: "event", Short: []string{"ev"}, Namespaced: true, TTL: true,
	Versions: []api.Version{EventsV1, eventsV1beta1},

	// The server validates the rest of the metadata; upstream has no further rule in this version.
	Validate:       rules.Typed(func(e *corev1.Event) field.ErrorList { return validateEvent(e, "reportingComponent") }),
	ValidateUpdate: rules.TypedUpdate(func(e, _ *corev1.Event) field.ErrorList { return validateEvent(e, "reportingComponent") }),
	Columns:        eventColumns,
	Row:            rules.Typed(eventRow),
	Fields: rules.Typed(func(e *corev1.Event) fields.Set {
		source := e.Source.Component
		if source == "" {
			source = e.ReportingController
		}
		return fields.Set{
			"involvedObject.kind":            e.InvolvedObject.Kind,
			"involvedObject.namespace":       e.InvolvedObject.Namespace,
			"involvedObject.name":            e.InvolvedObject.Name,
			"involvedObject.uid":             string(e.InvolvedObject.UID),
			"involvedObject.apiVersion":      e.InvolvedObject.APIVersion,
			"involvedObject.resourceVersion": e.InvolvedObject.ResourceVersion,
			"involvedObject.fieldPath":       e.InvolvedObject.FieldPath,
			"reason":                         e.Reason,
			"reportingComponent":             e.ReportingController,
			"source":                         source,
			"type":                           e.Type,
		}
	}),
})

// EventsV1 is Events in the version events.k8s.io/v1, where regarding is involvedObject, note is message,
// reportingController is reportingComponent, and source, firstTimestamp, lastTimestamp and count have the prefix
// "deprecated".
var EventsV1 = api.Version{
	GroupVersion: eventsv1.SchemeGroupVersion, Short: []string{"ev"},
	New:     func() api.Object { return &eventsv1.Event{} },
	NewList: func() runtime.Object { return &eventsv1.EventList{} },
	Fields: rules.Typed(func(e *corev1.Event) fields.Set {
		return fields.Set{
			"regarding.kind":            e.InvolvedObject.Kind,
			"regarding.namespace":       e.InvolvedObject.Namespace,
			"regarding.name":            e.InvolvedObject.Name,
			"regarding.uid":             string(e.InvolvedObject.UID),
			"regarding.apiVersion":      e.InvolvedObject.APIVersion,
			"regarding.resourceVersion": e.InvolvedObject.ResourceVersion,
			"regarding.fieldPath":       e.InvolvedObject.FieldPath,
			"reason":                    e.Reason,
			"reportingController":       e.ReportingController,
			"type":                      e.Type,
		}
	}),
	Validate:       rules.Typed(validateEventV1),
	ValidateUpdate: rules.TypedUpdate(validateEventV1Update),
	Converter:      api.Conversion(eventToCore, eventFromCore),
}

// eventsV1beta1 has the shape of events.k8s.io/v1, and the rules of the core group.
var eventsV1beta1 = api.Retired[*eventsv1beta1.Event, *corev1.Event]{
	ToStored: func(from *eventsv1beta1.Event, to *corev1.Event) {
		middle := &eventsv1.Event{}
		api.CopyShape(from, middle)
		eventToCore(middle).DeepCopyInto(to)
	},
	FromStored: func(from *corev1.Event, to *eventsv1beta1.Event) { api.CopyShape(eventFromCore(from), to) },
}.Version()

// eventToCore converts an event. The result shares everything below the top level with e.
func eventToCore(e *eventsv1.Event) *corev1.Event {
	out := &corev1.Event{
		TypeMeta:            metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:          e.ObjectMeta,
		InvolvedObject:      e.Regarding,
		Reason:              e.Reason,
		Message:             e.Note,
		Source:              e.DeprecatedSource,
		FirstTimestamp:      e.DeprecatedFirstTimestamp,
		LastTimestamp:       e.DeprecatedLastTimestamp,
		Count:               e.DeprecatedCount,
		Type:                e.Type,
		EventTime:           e.EventTime,
		Action:              e.Action,
		Related:             e.Related,
		ReportingController: e.ReportingController,
		ReportingInstance:   e.ReportingInstance,
	}
	if e.Series != nil {
		out.Series = &corev1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return out
}

func eventFromCore(e *corev1.Event) *eventsv1.Event {
	out := &eventsv1.Event{
		TypeMeta:                 metav1.TypeMeta{APIVersion: eventsv1.SchemeGroupVersion.String(), Kind: "Event"},
		ObjectMeta:               e.ObjectMeta,
		Regarding:                e.InvolvedObject,
		Reason:                   e.Reason,
		Note:                     e.Message,
		DeprecatedSource:         e.Source,
		DeprecatedFirstTimestamp: e.FirstTimestamp,
		DeprecatedLastTimestamp:  e.LastTimestamp,
		DeprecatedCount:          e.Count,
		Type:                     e.Type,
		EventTime:                e.EventTime,
		Action:                   e.Action,
		Related:                  e.Related,
		ReportingController:      e.ReportingController,
		ReportingInstance:        e.ReportingInstance,
	}
	if e.Series != nil {
		out.Series = &eventsv1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return out
}

var eventColumns = []metav1.TableColumnDefinition{
	rules.Column("Last Seen", "string", 0, rules.Doc(corev1.Event{}, "lastTimestamp")),
	rules.Column("Type", "string", 0, rules.Doc(corev1.Event{}, "type")),
	rules.Column("Reason", "string", 0, rules.Doc(corev1.Event{}, "reason")),
	rules.Column("Object", "string", 0, rules.Doc(corev1.Event{}, "involvedObject")),
	rules.Column("Subobject", "string", 1, rules.Doc(corev1.ObjectReference{}, "fieldPath")),
	rules.Column("Source", "string", 1, rules.Doc(corev1.Event{}, "source")),
	rules.Column("Message", "string", 0, rules.Doc(corev1.Event{}, "message")),
	rules.Column("First Seen", "string", 1, rules.Doc(corev1.Event{}, "firstTimestamp")),
	rules.Column("Count", "string", 1, rules.Doc(corev1.Event{}, "count")),
	rules.Column("Name", "string", 1, rules.Doc(metav1.ObjectMeta{}, "name")),
}

func eventRow(e *corev1.Event) []any {
	first := rules.Age(e.FirstTimestamp)
	if e.FirstTimestamp.IsZero() {
		first = microAge(e.EventTime)
	}
	last, count := first, e.Count
	switch {
	case e.Series != nil:
		last, count = microAge(e.Series.LastObservedTime), e.Series.Count
	case !e.LastTimestamp.IsZero():
		last = rules.Age(e.LastTimestamp)
	}
	if count == 0 {
		count = 1 // an event without a series is one occurrence
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	return []any{
		last, e.Type, e.Reason, object, e.InvolvedObject.FieldPath, eventSource(e), strings.TrimSpace(e.Message),
		first, int64(count), e.Name,
	}
}

func microAge(t metav1.MicroTime) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(rules.Now().Sub(t.Time))
}

func eventSource(e *corev1.Event) string {
	component, instance := e.Source.Component, e.Source.Host
	if component == "" {
		component = e.ReportingController
	}
	if instance == "" {
		instance = e.ReportingInstance
	}
	if instance == "" {
		return component
	}
	return component + ", " + instance
}
