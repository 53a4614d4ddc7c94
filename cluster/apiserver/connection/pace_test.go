package connection

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"wheelhouse/cluster/apiserver/flowcontrol"
)

// deadlines records the write deadlines that are set.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// On a busy machine the timer of a write fires, and waits for the lock while that write ends and
// the next one begins: it does not end the next one.
func TestLateTimer(t *testing.T) {
	d := &deadlines{ResponseWriter: httptest.NewRecorder()}
	p := &pace{
		ClientTimeouts: ClientTimeouts{Seat: time.Nanosecond}.WithDefaults(time.Minute),
		client:         http.NewResponseController(d), ticket: &flowcontrol.Ticket{},
	}
	p.begin()
	p.end()
	p.begin()
	p.timedOut()
	if !p.released || len(d.set) > 0 {
		t.Errorf("released: %v, deadlines: %v; the seats are given back, and the write has its time", p.released, d.set)
	}
	p.due = time.Now()
	p.timedOut()
	if len(d.set) != 1 {
		t.Errorf("%d deadlines of a write that has taken too long", len(d.set))
	}
}
