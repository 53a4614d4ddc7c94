package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wheelhouse/cluster/journal"
)

// One address cannot have all connections to the node's server: a new one takes the place
// of one that has sent no request.
func TestConnectionsOfOneClient(t *testing.T) {
	s := New(Config{
		Listen: "127.0.0.1:0", Serving: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil },
		ClientCAs: x509.NewCertPool(), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	h, l, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.ReadHeaderTimeout = time.Hour // which ends such a connection, too, but late
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	var all []net.Conn
	for range connections.PerSource + 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if _, err := all[0].Read(make([]byte, 1)); err == nil { // an end, or a reset
		t.Error("the first connection is still there")
	}
	for _, c := range all {
		c.Close()
	}
	_ = h.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// What is recorded of a pod and what its probes were answered comes in the order of time.
func TestServeJournal(t *testing.T) {
	log, at := journal.New(), time.Now()
	log.Add("uid-1", journal.Entry{Time: at, Step: "first"})
	log.Add("uid-1", journal.Entry{Time: at.Add(2 * time.Second), Step: "third"})
	log.Add(ProbesOf("uid-1"), journal.Entry{Time: at.Add(time.Second), Step: "second"})
	s := New(Config{Journal: log})
	for uid, want := range map[string][]string{"uid-1": {"first", "second", "third"}, "uid-2": nil} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/journal/"+uid, nil)
		r.SetPathValue("uid", uid)
		s.serveJournal(w, r)
		var answer struct {
			Kind  string
			Items []journal.Entry
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Kind != "JournalEntries" || answer.Items == nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		var got []string
		for _, e := range answer.Items {
			got = append(got, e.Step)
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %s: %v, want %v", uid, got, want)
		}
	}
}
