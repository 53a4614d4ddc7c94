package registry

import "testing"

// One address has a part of the turns only.
func TestShares(t *testing.T) {
	var s shares
	for range requestsEach {
		if !s.enter("192.0.2.1") {
			t.Fatal("too few requests of one address")
		}
	}
	if s.enter("192.0.2.1") || !s.enter("192.0.2.2") {
		t.Error("one address takes the turns of another")
	}
	for range requestsEach {
		s.leave("192.0.2.1")
	}
	if s.leave("192.0.2.2"); len(s.by) != 0 {
		t.Errorf("left behind: %v", s.by)
	}
}
