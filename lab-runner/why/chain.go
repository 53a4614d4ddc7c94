package why

import (
	"fmt"
	"strings"
)

// State is that of a hop, or of an object as a whole.
type State string

// The states. Unknown is a hop whose facts could not be read: the way goes on behind it.
const (
	Fine    State = "fine"
	Waiting State = "waiting"
	Broken  State = "broken"
	Unknown State = "unknown"
)

// Hop is one stage of an object's way.
type Hop struct {
	Object  string   `json:"object"` // kind/name, such as pod/web
	Name    string   `json:"hop"`    // such as scheduler, image, endpoints
	State   State    `json:"state"`
	Reason  string   `json:"reason,omitempty"` // one CamelCase word for a cause, for programs
	Text    string   `json:"text"`
	Details []string `json:"details,omitempty"` // what was seen: each node's reason, events, last log lines
	Missing *Ref     `json:"missing,omitempty"` // the object that is named and does not exist
}

// Explanation is the way of one object up to its first hop that is broken or waiting.
type Explanation struct {
	Object    string   `json:"object"`
	Namespace string   `json:"namespace,omitempty"`
	State     State    `json:"state"`
	Hops      []Hop    `json:"hops"`
	Do        string   `json:"do,omitempty"`     // the one thing to do
	Unread    []string `json:"unread,omitempty"` // facts that could not be read, with the error
}

// Last returns the hop that the explanation ends with: the broken one, if there is one.
func (e *Explanation) Last() Hop {
	if len(e.Hops) == 0 {
		return Hop{}
	}
	return e.Hops[len(e.Hops)-1]
}

// chain collects hops until one is broken or waiting; what is added later is dropped.
type chain struct {
	f     *Facts
	about string // the object whose hops are added
	depth int    // of objects in objects, which may name each other
	out   Explanation
}

// deepest bounds how far a chain goes from one object to the next: ingress, service, deployment, pod, claim, volume.
const deepest = 8

func (c *chain) over() bool { return c.out.State == Broken || c.out.State == Waiting }

func (c *chain) add(h Hop) {
	if c.over() {
		return
	}
	h.Object = c.about
	c.out.Hops = append(c.out.Hops, h)
}

func (c *chain) fine(hop, format string, args ...any) {
	c.add(Hop{Name: hop, State: Fine, Text: fmt.Sprintf(format, args...)})
}

func (c *chain) unknown(hop, format string, args ...any) {
	c.add(Hop{Name: hop, State: Unknown, Text: fmt.Sprintf(format, args...)})
}

// cause is why a hop is broken, or what it waits for.
type cause struct {
	hop, reason, text string
	do                string
	details           []string
	missing           *Ref
}

func (c *chain) end(state State, w cause) {
	if c.over() {
		return
	}
	var details []string
	for _, d := range w.details {
		if strings.TrimSpace(d) != "" {
			details = append(details, d)
		}
	}
	c.add(Hop{Name: w.hop, State: state, Reason: w.reason, Text: w.text, Details: details, Missing: w.missing})
	c.out.State, c.out.Do = state, w.do
}

func (c *chain) broken(w cause)  { c.end(Broken, w) }
func (c *chain) waiting(w cause) { c.end(Waiting, w) }

// of follows another object as part of the way, and then goes on with this one.
func (c *chain) of(about string, follow func()) {
	if c.over() || c.depth >= deepest {
		return
	}
	before := c.about
	c.about = about
	c.depth++
	follow()
	c.depth--
	c.about = before
}

// kubectl returns a command for the namespace of the facts.
func (c *chain) kubectl(format string, args ...any) string {
	return "kubectl -n " + c.f.Namespace + " " + fmt.Sprintf(format, args...)
}
