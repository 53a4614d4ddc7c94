package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// eventServer keeps the events it gets; the first refuse requests fail.
type eventServer struct {
	mu      sync.Mutex
	refuse  int
	created []corev1.Event
	patched []corev1.Event
}

func (s *eventServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		panic(http.ErrAbortHandler)
	}
	data, _ := io.ReadAll(r.Body)
	var e corev1.Event
	if r.Method == http.MethodPatch {
		e = s.created[len(s.created)-1]
		_ = json.Unmarshal(data, &e)
		s.patched = append(s.patched, e)
	} else {
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e = *obj.(*corev1.Event)
		s.created = append(s.created, e)
	}
	e.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	_ = json.NewEncoder(w).Encode(&e)
}

func recorderFor(t *testing.T, s *eventServer) *EventRecorder {
	t.Helper()
	cs, err := kubernetes.NewForConfig(rest.CopyConfig(InProcess(s, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r := NodeRecorder(cs, "kubelet", "minion-1")
	r.retry = time.Millisecond
	return r
}

func TestRecorderCountsRepeats(t *testing.T) {
	s := &eventServer{refuse: 2}
	r := recorderFor(t, s)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u"}}
	for range 3 {
		r.Event(pod, corev1.EventTypeWarning, "BackOff", "again")
	}
	r.As("proxy").Eventf(pod, corev1.EventTypeWarning, "BackOff", "again")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if len(s.created) != 2 || len(s.patched) != 2 || s.patched[1].Count != 3 {
		t.Fatalf("created %d, patched %+v", len(s.created), s.patched)
	}
	e := s.created[0]
	if e.Namespace != "n" || e.InvolvedObject.UID != "u" || e.Source.Component != "kubelet" || e.Source.Host != "minion-1" {
		t.Errorf("event %+v", e)
	}
	if e := s.created[1]; e.Source.Component != "proxy" || e.ReportingController != "proxy" || e.Source.Host != "minion-1" || e.Count != 1 {
		t.Errorf("another component's event of the same words %+v", e)
	}
	if err := r.Flush(ctx); err != nil {
		t.Errorf("flush of an idle recorder: %v", err)
	}
}
