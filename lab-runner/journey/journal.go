package journey

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Recorded is what a component has recorded of an object, as the API server answers a GET of the object
// with journal=true, and a node a GET of /journal/UID.
type Recorded struct {
	Time            time.Time `json:"time"`
	Component       string    `json:"component"`
	Verb            string    `json:"verb"`
	Subresource     string    `json:"subresource"`
	User            string    `json:"user"`
	Client          string    `json:"client"`
	ResourceVersion int64     `json:"resourceVersion"`
	ChangedBy       []string  `json:"changedBy"`
	Took            float64   `json:"tookMilliseconds"`
	Refused         string    `json:"refused"`
	Object          string    `json:"object"` // of a refused create: plural/name
	Step            string    `json:"step"`
	Chosen          string    `json:"chosen"`
	Nodes           []Judged  `json:"nodes"`
}

// Judged is how the scheduler has judged a node.
type Judged struct {
	Name    string   `json:"name"`
	Score   *int64   `json:"score"`
	Reasons []string `json:"reasons"`
}

// readJournal returns what is recorded, nothing where the answer is no journal.
func readJournal(text []byte) []Recorded {
	var answer struct {
		Kind  string     `json:"kind"`
		Items []Recorded `json:"items"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.Kind != "JournalEntries" {
		return nil
	}
	return answer.Items
}

// text says what was done.
func (r *Recorded) text() string {
	if r.Component == "kube-scheduler" {
		return r.decision()
	}
	if r.Step != "" {
		if r.Refused != "" {
			return fmt.Sprintf("%s: failed after %.1f ms: %s", r.Step, r.Took, r.Refused)
		}
		return fmt.Sprintf("%s, in %.1f ms", r.Step, r.Took)
	}
	what := r.Verb
	if r.Object != "" {
		what += " of " + r.Object
	}
	if r.Subresource != "" {
		what += " of " + r.Subresource
	}
	client, _, _ := strings.Cut(r.Client, " ")
	by := fmt.Sprintf(" by user %s with %s", r.User, client)
	if client == "" {
		by = " by user " + r.User
	}
	if r.Refused != "" {
		return what + by + " was refused: " + r.Refused
	}
	out := fmt.Sprintf("%s%s, stored as resourceVersion %d after %.1f ms", what, by, r.ResourceVersion, r.Took)
	if len(r.ChangedBy) > 0 {
		out += "; changed by admission: " + strings.Join(r.ChangedBy, ", ")
	}
	return out
}

func (r *Recorded) decision() string {
	var nodes []string
	for _, n := range r.Nodes {
		switch {
		case len(n.Reasons) > 0:
			nodes = append(nodes, n.Name+" not: "+strings.Join(n.Reasons, ", "))
		case n.Score != nil:
			nodes = append(nodes, fmt.Sprintf("%s score %d", n.Name, *n.Score))
		default:
			nodes = append(nodes, n.Name+" feasible")
		}
	}
	out := "no node is feasible"
	if r.Chosen != "" {
		out = "node " + r.Chosen + " chosen"
	}
	if len(nodes) > 0 {
		out += " (" + strings.Join(nodes, "; ") + ")"
	}
	return out
}
