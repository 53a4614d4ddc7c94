// Package journal keeps what the components of one process have lately done to objects, by the
// objects' uids: the API server its writes, the scheduler its decisions, a kubelet its steps and what probes
// were answered, a proxy when the rules of a service were written. A caller may use another key for what
// shall not drive out the rest of an object's entries.
//
// It owns a bounded memory: of about twice MostObjects objects, the MostEntries last entries of each;
// those that nothing was added to for longest are removed first. It never has the content of an
// object. It authorizes nothing: who serves an entry asks first whether its reader may read the
// object. A nil Log keeps nothing. All methods may be called concurrently.
package journal

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// The bounds of a Log.
const (
	MostObjects = 1024
	MostEntries = 12
	MostNodes   = 8   // of an entry
	longest     = 160 // bytes of a text that a client has sent
)

// Entry is one thing that a component did.
type Entry struct {
	Time      time.Time `json:"time"`
	Component string    `json:"component"` // upstream's name, such as kube-apiserver

	// Of a write: who asked for it, and what admission did.
	Verb            string   `json:"verb,omitempty"` // create, update, patch, apply, delete, bind
	Subresource     string   `json:"subresource,omitempty"`
	User            string   `json:"user,omitempty"`
	Client          string   `json:"client,omitempty"` // the User-Agent
	ResourceVersion int64    `json:"resourceVersion,omitempty"`
	ChangedBy       []string `json:"changedBy,omitempty"` // the admission plugins that changed the object
	Took            float64  `json:"tookMilliseconds,omitempty"`
	Refused         string   `json:"refused,omitempty"` // why admission or validation refused it
	Object          string   `json:"object,omitempty"`  // plural/name of the object whose create was refused, if it is another than the entry's

	// Of a step of a kubelet or a proxy, that took Took; Refused is the error it ended with.
	Step string `json:"step,omitempty"`

	// Of a scheduling decision.
	Chosen string `json:"chosen,omitempty"` // the node
	Nodes  []Node `json:"nodes,omitempty"`  // at most MostNodes
}

// Node is how the scheduler has judged a node for a pod.
type Node struct {
	Name    string   `json:"name"`
	Score   *int64   `json:"score,omitempty"`   // nil: it was the only feasible one, or it was filtered out
	Reasons []string `json:"reasons,omitempty"` // why it was filtered out
}

// Log has the entries of one process.
type Log struct {
	mu sync.Mutex
	// An object is in one of the two; when young is full it becomes old.
	young, old map[types.UID]*recent
}

// recent are the last entries of an object, of which next is overwritten next once there are MostEntries.
type recent struct {
	entries []Entry
	next    int
}

// New returns an empty Log.
func New() *Log {
	return &Log{young: map[types.UID]*recent{}}
}

// Add keeps an entry of an object.
func (l *Log) Add(uid types.UID, e Entry) {
	if l == nil || uid == "" {
		return
	}
	e.User, e.Client, e.Refused, e.Object = cut(e.User), cut(e.Client), cut(e.Refused), cut(e.Object)
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.young[uid]
	if r == nil {
		if r = l.old[uid]; r == nil {
			r = &recent{}
		} else {
			delete(l.old, uid)
		}
		if len(l.young) >= MostObjects {
			l.young, l.old = map[types.UID]*recent{}, l.young
		}
		l.young[uid] = r
	}
	if len(r.entries) < MostEntries {
		r.entries = append(r.entries, e)
		return
	}
	r.entries[r.next] = e
	r.next = (r.next + 1) % MostEntries
}

// Of returns the entries of an object, the oldest first.
func (l *Log) Of(uid types.UID) []Entry {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.young[uid]
	if r == nil {
		if r = l.old[uid]; r == nil {
			return nil
		}
	}
	return append(append([]Entry(nil), r.entries[r.next:]...), r.entries[:r.next]...)
}

func cut(text string) string { return text[:min(len(text), longest)] }
