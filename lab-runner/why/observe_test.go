package why

import (
	"errors"
	"net/http"
	"reflect"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestParseSockets(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0B01F60A:0050 0101F60A:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  10: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4 2 0000000000000000 0
 not a line of sockets
`
	want := []Socket{{"TCP", 80, false}, {"TCP", 8080, true}, {"TCP", 443, false}, {"UDP", 53, false}}
	if got := parseSockets(text); !reflect.DeepEqual(got, want) {
		t.Errorf("sockets: %v, want %v", got, want)
	}
}

// What a port answers is distinguished from what the API server says of it.
func TestJudge(t *testing.T) {
	status := func(code int, text string) error { // as the client makes it of a text that is no Status
		return apierrors.NewGenericServerResponse(code, "get", schema.GroupResource{}, "", text, 0, true)
	}
	forbidden := &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Message: `services "web" is forbidden: User "u" cannot get resource "services/proxy" in API group "" in the namespace "x"`}}
	for _, c := range []struct {
		err   error
		ok    bool
		known bool
	}{
		{nil, true, true},
		{status(404, "404 page not found"), true, true},
		{status(500, "broken inside"), true, true},
		{status(503, "error trying to reach service: dial tcp 10.0.0.1:80: connect: connection refused"), false, true},
		{status(503, `no endpoints available for service "web"`), false, true},
		{status(502, `error trying to reach service: net/http: HTTP/1.x transport connection broken: malformed HTTP response "+OK"`), true, true},
		{status(504, "error trying to reach service: dial tcp 10.0.0.1:80: i/o timeout"), false, false},
		{forbidden, false, false},
		{errors.New("context deadline exceeded"), false, false},
	} {
		if a, known := judge(c.err); a.OK != c.ok || known != c.known {
			t.Errorf("%v: %+v, known %v, want %v and %v", c.err, a, known, c.ok, c.known)
		}
	}
}
