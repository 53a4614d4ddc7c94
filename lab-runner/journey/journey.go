// Package journey reports what happened to an object, in the order of time, from what the cluster has recorded: the object's
// creation, the last writes and the scheduler's decisions (the journal of the API server, read with the object), creates that
// were refused, the steps of the kubelet and the answers to probes (the journal of the node), endpoints and the rules for them on
// each node, the writers of its fields, its conditions, the states of its containers, its events, and the objects that it owns
// or belongs to. Tell is pure. It claims no more than the records say: times are those of the records, many of them of whole seconds, and what no
// record has is missing.
package journey

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Entry is one thing that a record has.
type Entry struct {
	Time   time.Time `json:"time"`
	Object string    `json:"object"`       // kind/name
	Source string    `json:"source"`       // the record: metadata, managedFields, condition, container, event, journal
	By     string    `json:"by,omitempty"` // the component or the client that the record names
	Text   string    `json:"text"`
	Count  int32     `json:"count,omitempty"` // of an event that was recorded more than once

	Record *Recorded `json:"record,omitempty"` // of the journal
}

// Object is what is read of any object.
type Object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            Status `json:"status"`
	Spec              struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`

	Journal []Recorded  `json:"-"`
	Since   metav1.Time `json:"-"` // the entries before are left out
}

// Status is what the statuses of many kinds have.
type Status struct {
	Phase                 string                   `json:"phase,omitempty"`
	Conditions            []Condition              `json:"conditions,omitempty"`
	InitContainerStatuses []corev1.ContainerStatus `json:"initContainerStatuses,omitempty"`
	ContainerStatuses     []corev1.ContainerStatus `json:"containerStatuses,omitempty"`
}

// Condition is one of any kind.
type Condition struct {
	Type               string      `json:"type"`
	Status             string      `json:"status"`
	Reason             string      `json:"reason,omitempty"`
	Message            string      `json:"message,omitempty"`
	LastTransitionTime metav1.Time `json:"lastTransitionTime"`
}

// Tell returns the entries of objects and of their events, in the order of time.
func Tell(objects []Object, events []corev1.Event) []Entry {
	var out []Entry
	for i := range objects {
		o := &objects[i]
		name := strings.ToLower(o.Kind) + "/" + o.Name
		add := func(t metav1.Time, source, by, format string, args ...any) {
			if !t.IsZero() {
				out = append(out, Entry{Time: t.UTC(), Object: name, Source: source, By: by, Text: fmt.Sprintf(format, args...)})
			}
		}
		add(o.CreationTimestamp, "metadata", "", "created, uid %s", o.UID)
		if o.DeletionTimestamp != nil {
			add(*o.DeletionTimestamp, "metadata", "", "to be gone by this time: it was deleted")
		}
		for i := range o.Journal {
			r := &o.Journal[i]
			if r.Time.Before(o.Since.Time) {
				continue
			}
			out = append(out, Entry{Time: r.Time.UTC(), Object: name, Source: "journal", By: r.Component, Text: r.text(), Record: r})
		}
		for _, m := range o.ManagedFields {
			if m.Time == nil {
				continue
			}
			what := strings.Join(written(m.FieldsV1), ", ")
			if m.Subresource != "" {
				what = m.Subresource + ": " + what
			}
			add(*m.Time, "managedFields", m.Manager, "last %s of %s", m.Operation, what)
		}
		for _, c := range o.Status.Conditions {
			text := fmt.Sprintf("condition %s became %s", c.Type, c.Status)
			if c.Reason != "" {
				text += " (" + c.Reason + ")"
			}
			add(c.LastTransitionTime, "condition", "", "%s", text)
		}
		for _, s := range append(o.Status.InitContainerStatuses, o.Status.ContainerStatuses...) {
			for _, t := range []*corev1.ContainerStateTerminated{s.LastTerminationState.Terminated, s.State.Terminated} {
				if t != nil {
					add(t.StartedAt, "container", "", "container %s started", s.Name)
					add(t.FinishedAt, "container", "", "container %s ended with exit code %d (%s)", s.Name, t.ExitCode, t.Reason)
				}
			}
			if r := s.State.Running; r != nil {
				add(r.StartedAt, "container", "", "container %s started; it has been restarted %d times", s.Name, s.RestartCount)
			}
		}
	}
	for i := range events {
		out = append(out, ofEvent(&events[i]))
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Time.Before(out[j].Time) })
	return out
}

func ofEvent(e *corev1.Event) Entry {
	first := e.FirstTimestamp.Time
	if first.IsZero() {
		first = e.EventTime.Time
	}
	if first.IsZero() {
		first = e.CreationTimestamp.Time
	}
	by := e.Source.Component
	if by == "" {
		by = e.ReportingController
	}
	text, count := e.Reason+": "+e.Message, e.Count
	if e.Series != nil {
		count = e.Series.Count
	}
	if last := e.LastTimestamp.Time; count > 1 && last.After(first) {
		text += fmt.Sprintf(" (%d times until %s)", count, last.UTC().Format("15:04:05"))
	}
	return Entry{Time: first.UTC(), Object: strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name, Source: "event", By: by, Text: text, Count: count}
}

// written returns the fields of two levels that an entry of managedFields has, such as spec.replicas.
func written(f *metav1.FieldsV1) []string {
	var top map[string]map[string]json.RawMessage
	if f == nil || json.Unmarshal(f.GetRawBytes(), &top) != nil {
		return []string{"its fields"}
	}
	var out []string
	for k, below := range top {
		for b := range below {
			if strings.HasPrefix(b, "f:") {
				out = append(out, strings.TrimPrefix(k, "f:")+"."+strings.TrimPrefix(b, "f:"))
			}
		}
	}
	sort.Strings(out)
	if len(out) > 6 {
		out = append(out[:6], fmt.Sprintf("%d more", len(out)-6))
	}
	if len(out) == 0 {
		return []string{"its fields"}
	}
	return out
}
