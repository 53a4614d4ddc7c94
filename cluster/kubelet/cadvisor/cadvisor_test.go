package cadvisor

import "testing"

func TestInterface(t *testing.T) {
	got, ok := parseInterface("  eth0: 1296 16 1 2 0 0 0 0 866 11 3 4 0 0 0 0")
	want := Interface{
		Name: "eth0", Received: 1296, ReceivedPackets: 16, ReceivedErrors: 1, ReceivedDropped: 2,
		Transmitted: 866, SentPackets: 11, SentErrors: 3, SentDropped: 4,
	}
	if !ok || got != want {
		t.Errorf("%+v %v", got, ok)
	}
	for _, line := range []string{" face |bytes    packets errs drop fifo frame compressed multicast|bytes", "eth0: 1 2 3", "eth0: a 2 3 4 5 6 7 8 9 10 11 12"} {
		if got, ok := parseInterface(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}
