package consistency_test

import (
	"testing"
	"time"

	"wheelhouse/cluster/consistency"
)

func write(h *consistency.History, value string, version int64) {
	h.Begin(1, consistency.Operation{Kind: consistency.Write, Object: "a", Value: value})(consistency.Done, "", version)
}

func read(h *consistency.History, value string) {
	h.Begin(2, consistency.Operation{Kind: consistency.Read, Object: "a"})(consistency.Done, value, 0)
}

func replace(h *consistency.History, expected, value string, o consistency.Outcome, version int64) {
	h.Begin(3, consistency.Operation{Kind: consistency.Replace, Object: "a", Expected: expected, Value: value})(o, "", version)
}

func TestLinearizable(t *testing.T) {
	for name, c := range map[string]struct {
		record func(*consistency.History)
		want   bool
	}{
		"a read of the last write": {func(h *consistency.History) { write(h, "1", 1); read(h, "1") }, true},
		"a stale read":             {func(h *consistency.History) { write(h, "1", 1); write(h, "2", 2); read(h, "1") }, false},
		"a lost write":             {func(h *consistency.History) { write(h, "1", 1); read(h, "") }, false},
		"a replacement": {func(h *consistency.History) {
			write(h, "1", 1)
			replace(h, "1", "2", consistency.Done, 2)
			read(h, "2")
		}, true},
		"two replacements of one": {func(h *consistency.History) {
			write(h, "1", 1)
			replace(h, "1", "2", consistency.Done, 2)
			replace(h, "1", "3", consistency.Done, 3)
		}, false},
		"a refusal": {func(h *consistency.History) {
			write(h, "1", 1)
			replace(h, "0", "2", consistency.Refused, 0)
			read(h, "1")
		}, true},
		"a refusal without a reason": {func(h *consistency.History) { write(h, "1", 1); replace(h, "1", "2", consistency.Refused, 0) }, false},
		"no answer, with an effect": {func(h *consistency.History) {
			write(h, "1", 1)
			replace(h, "1", "2", consistency.Lost, 0)
			read(h, "2")
		}, true},
		"no answer, without an effect": {func(h *consistency.History) {
			write(h, "1", 1)
			replace(h, "1", "2", consistency.Lost, 0)
			read(h, "1")
		}, true},
		"no answer, and back again": {func(h *consistency.History) {
			write(h, "1", 1)
			replace(h, "1", "2", consistency.Lost, 0)
			read(h, "2")
			read(h, "1")
		}, false},
	} {
		h := consistency.New()
		c.record(h)
		if err := h.Linearizable(time.Minute); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWatches(t *testing.T) {
	e := func(version int64, value string) consistency.Event {
		return consistency.Event{Version: version, Object: "a", Value: value}
	}
	all := []consistency.Event{e(1, "1"), e(2, "2"), e(5, "3")}
	for name, c := range map[string]struct {
		watch []consistency.Event
		want  bool
	}{
		"all":        {all, true},
		"one twice":  {[]consistency.Event{e(1, "1"), e(2, "2"), e(2, "2"), e(5, "3")}, false},
		"order":      {[]consistency.Event{e(2, "2"), e(1, "1"), e(5, "3")}, false},
		"skipped":    {[]consistency.Event{e(1, "1"), e(5, "3")}, false},
		"never seen": {all[:2], false},
		"another":    {[]consistency.Event{e(1, "1"), e(2, "x"), e(5, "3")}, false},
	} {
		h := consistency.New()
		write(h, "1", 1)
		write(h, "3", 5)
		if err := h.Watches(all, c.watch); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := consistency.Present(map[string]string{"a": "3"}, all); err != nil {
		t.Error(err)
	}
	if consistency.Present(map[string]string{"a": "2"}, all) == nil {
		t.Error("the last write is not there, and that is not seen")
	}
}

func TestGap(t *testing.T) {
	h := consistency.New()
	began := time.Now().Add(-20 * time.Millisecond)
	write(h, "1", 1)
	if gap := h.Gap(began); gap < 20*time.Millisecond || gap > time.Since(began) {
		t.Errorf("a gap of %v", gap)
	}
	if h.Acknowledged() != 1 {
		t.Error("a write was not counted")
	}
}
