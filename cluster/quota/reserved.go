package quota

import (
	"encoding/json"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ReservedAnnotation holds a quota's reservations. It is there only while objects are
// being written.
const ReservedAnnotation = "quota.wheelhouse/reserved"

// Lapse is when a reservation no longer counts: no write takes so long, so that it was
// left by a server that crashed.
const Lapse = 2 * time.Minute

// Reservation is what an object uses that may not be stored yet.
type Reservation struct {
	At   int64               `json:"at"` // unix seconds
	Used corev1.ResourceList `json:"used"`
}

// Reservations are by the uid of their object, or, if it was there already and uses
// more, by something that is no uid.
type Reservations map[string]Reservation

// Reserved reads those of a quota that have not lapsed. What cannot be read was not
// written by us, and counts for nothing.
func Reserved(q *corev1.ResourceQuota, now time.Time) Reservations {
	all := Reservations{}
	if text := q.Annotations[ReservedAnnotation]; text != "" && json.Unmarshal([]byte(text), &all) != nil {
		return Reservations{}
	}
	maps.DeleteFunc(all, func(_ string, r Reservation) bool { return now.Sub(time.Unix(r.At, 0)) > Lapse })
	return all
}

// Set writes the reservations into a quota.
func (r Reservations) Set(q *corev1.ResourceQuota) error {
	if len(r) == 0 {
		delete(q.Annotations, ReservedAnnotation)
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if q.Annotations == nil {
		q.Annotations = map[string]string{}
	}
	q.Annotations[ReservedAnnotation] = string(text)
	return nil
}
