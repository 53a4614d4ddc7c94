package apiserver

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/journal"
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

// writeJournal answers with what is known of an object: its own entries, the refused creates of its name
// before it was there, and those of objects that it would have owned.
func (r *responder) writeJournal(o api.Object) error {
	entries := slices.Concat(r.s.refusals.Of(refusedName(r.exchange, o.GetName())), r.s.refusals.Of(refusedOwner(o.GetNamespace(), o.GetUID())), r.s.Journal.Of(o.GetUID()))
	slices.SortStableFunc(entries, func(a, b journal.Entry) int { return a.Time.Compare(b.Time) })
	return r.writeEntries(o.GetUID(), entries)
}

// writeRefused answers the same for a name without an object, if a create of it was refused. Its reader was
// authorized to get that name.
func (r *responder) writeRefused(notFound error) error {
	entries := r.s.refusals.Of(refusedName(r.exchange, r.Name))
	if len(entries) == 0 {
		return notFound
	}
	return r.writeEntries("", entries)
}

func (r *responder) writeEntries(uid types.UID, entries []journal.Entry) error {
	data, err := json.Marshal(JournalEntries{
		TypeMeta: metav1.TypeMeta{Kind: JournalKind, APIVersion: "wheelhouse/v1"}, UID: uid, Items: append([]journal.Entry{}, entries...),
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

// recordRefusedCreate keeps that an authorized create was refused: for readers of the name, and for those of
// the controller that would have owned the object. These are in a Log of their own, so that many of them do
// not drive out what is known of objects that exist. The namespace is in the key: an owner reference is what
// the client says.
func (r *exchange) recordRefusedCreate(obj api.Object, err error) {
	if r.s.Journal == nil || unrecorded[r.Plural] || apierrors.IsAlreadyExists(err) {
		return
	}
	e := journal.Entry{
		Time: time.Now(), Component: "kube-apiserver", Verb: r.Verb, Object: r.Plural + "/" + cmp.Or(obj.GetName(), obj.GetGenerateName()),
		User: userName(r.user), Client: r.UserAgent(), Refused: err.Error(),
	}
	if obj.GetGenerateName() == "" { // a generated name is of use to nobody
		r.s.refusals.Add(refusedName(r, obj.GetName()), e)
	}
	if owner := metav1.GetControllerOf(obj); owner != nil {
		r.s.refusals.Add(refusedOwner(r.Namespace, owner.UID), e)
	}
}

func refusedName(r *exchange, name string) types.UID {
	return types.UID(r.res.Group + "/" + r.Plural + "/" + r.Namespace + "/" + name)
}

func refusedOwner(namespace string, uid types.UID) types.UID {
	return types.UID("owner/" + namespace + "/" + string(uid))
}
