package quota

import (
	"encoding/json"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ReservedAnnotation holds a quota's reservations. It exists only while objects are being
// written.
const ReservedAnnotation = "quota.wheelhouse/reserved"

// Lapse is when a reservation expires: no write takes so long, so a server has crashed.
const Lapse = 2 * time.Minute

// Reservation is the usage of an object that may not be stored yet.
type Reservation struct {
	At   int64               `json:"at"` // unix seconds
	Used corev1.ResourceList `json:"used"`
}

// Reservations are by the uid of their object, or, for an update that uses more, by a key that
// is no uid.
type Reservations map[string]Reservation

// Reserved returns those of a quota that have not expired. An annotation that cannot be decoded
// was not written by an API server, and is ignored.
func Reserved(q *corev1.ResourceQuota, now time.Time) Reservations {
	all := Reservations{}
	if text := q.Annotations[ReservedAnnotation]; text != "" && json.Unmarshal([]byte(text), &all) != nil {
		return Reservations{}
	}
	maps.DeleteFunc(all, func(_ string, r Reservation) bool { return now.Sub(time.Unix(r.At, 0)) > Lapse })
	return all
}

// Set writes the reservations to a quota's annotation.
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
