package apiserver

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/store"
)

// JournalEntries answers the GET of an object with the query journal=true: what is known of it beside
// itself. Who may get the object may get these. It has no content of objects.
type JournalEntries struct {
	metav1.TypeMeta `json:",inline"`
	UID             types.UID       `json:"uid"`
	Items           []journal.Entry `json:"items"`
}

// JournalKind is the kind of JournalEntries: a server without support for the query answers with the object.
const JournalKind = "JournalEntries"

// asksJournal reports whether a GET of an object is for its journal.
func (r *exchange) asksJournal() bool {
	return strings.Contains(r.URL.RawQuery, "journal=") && r.URL.Query().Get("journal") == "true"
}

func (r *responder) writeJournal(item *store.Item) error {
	uid := item.Object().GetUID()
	data, err := json.Marshal(JournalEntries{
		TypeMeta: metav1.TypeMeta{Kind: JournalKind, APIVersion: "wheelhouse/v1"}, UID: uid, Items: append([]journal.Entry{}, r.s.Journal.Of(uid)...),
	})
	if err != nil {
		return err
	}
	return r.writeBody(http.StatusOK, "application/json", data)
}

// unrecorded are resources that are written all the time, and would drive out the others.
var unrecorded = map[string]bool{"events": true, "leases": true}

// record keeps that the request has written an object.
func (r *exchange) record(uid types.UID, revision int64) {
	if r.s.Journal == nil || unrecorded[r.Plural] {
		return
	}
	now := time.Now()
	r.s.Journal.Add(uid, journal.Entry{
		Time: now, Component: "kube-apiserver", Verb: r.Verb, Subresource: r.Subresource, User: userName(r.user), Client: r.UserAgent(),
		ResourceVersion: revision, ChangedBy: r.changedBy, Took: float64(now.Sub(r.started).Microseconds()) / 1000,
	})
}

// recordRefusal keeps that a write of an object that exists was refused after it was authorized.
func (r *exchange) recordRefusal(uid types.UID, err error) {
	if r.s.Journal == nil || unrecorded[r.Plural] {
		return
	}
	r.s.Journal.Add(uid, journal.Entry{
		Time: time.Now(), Component: "kube-apiserver", Verb: r.Verb, Subresource: r.Subresource, User: userName(r.user), Client: r.UserAgent(), Refused: err.Error(),
	})
}
