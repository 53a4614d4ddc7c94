package store

import (
	"slices"
	"sort"
)

const (
	// historySize is how many events of a kind a watch can go back at least, once there
	// were so many. Twice as many are held before the older half is removed.
	historySize = 2048
	// historyBytes is how much their items may take; beyond it the older half is removed,
	// however few they are.
	historyBytes = 64 << 20
	// fresh is how many of them keep their encodings and superseded objects.
	fresh = 512
)

// history is the last events of one kind, in the order of their revisions.
type history struct {
	// from is the revision after which every event is there.
	from   int64
	events []*Event
	cool   int // events before this index were shed
	bytes  int // of the items
}

func (h *history) add(e *Event) {
	h.events = append(h.events, e)
	for ; h.cool < len(h.events)-fresh; h.cool++ {
		h.events[h.cool].shed()
	}
	h.bytes += e.Item.Size()
	if len(h.events) >= 2*historySize || h.bytes > historyBytes && len(h.events) > 1 {
		drop := len(h.events) / 2
		for _, e := range h.events[:drop] {
			h.bytes -= e.Item.Size()
		}
		h.from = h.events[drop-1].Revision
		h.events = slices.Clone(h.events[drop:])
		h.cool = max(0, h.cool-drop)
	}
}

// after is every event with a revision above rev, ok is false if some were removed.
func (h *history) after(rev int64) (events []*Event, ok bool) {
	if rev < h.from {
		return nil, false
	}
	i := sort.Search(len(h.events), func(i int) bool { return h.events[i].Revision > rev })
	return h.events[i:], true
}

// at finds the event of a key at a revision, nil if it is not there.
func (h *history) at(rev int64, key string) *Event {
	i := sort.Search(len(h.events), func(i int) bool { return h.events[i].Revision >= rev })
	for ; i < len(h.events) && h.events[i].Revision == rev; i++ {
		if h.events[i].Item.key == key {
			return h.events[i]
		}
	}
	return nil
}
