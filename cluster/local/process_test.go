package local

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A process without a record is the daemon's if it does that work in that directory, with whatever other flags.
func TestSameDaemon(t *testing.T) {
	args := []string{"node", "--kubeconfig", "/s/c/m.kubeconfig", "--state-dir", "/s/c/nodes/m"}
	for _, x := range []struct {
		line []string
		want bool
	}{
		{append([]string{"/bin/wheelhouse"}, args...), true},
		{[]string{"/old/wheelhouse", "node", "--state-dir", "/s/c/nodes/m", "--max-pods", "40", ""}, true},
		{[]string{"/bin/wheelhouse", "node", "--state-dir", "/s/c/nodes/other"}, false},
		{[]string{"/bin/wheelhouse", "server", "--state-dir", "/s/c/nodes/m"}, false},
		{[]string{"vi", "--state-dir", "/s/c/nodes/m"}, false},
		{[]string{"/bin/wheelhouse", "node", "--state-dir"}, false},
		{[]string{""}, false},
	} {
		if got := sameDaemon(x.line, args); got != x.want {
			t.Errorf("%q: %v", x.line, got)
		}
	}
}

// A program is read again when it has changed, and only then.
func TestStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	write := func(text string, at time.Time) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		s, err := stamp(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	hour := time.Now().Add(-time.Hour)
	first := write("one", hour)
	if again := write("two", hour); again != first {
		t.Errorf("it was read again: %s, before %s", again, first)
	}
	second := write("two", hour.Add(time.Second))
	if second == first {
		t.Error("a changed program has the same stamp")
	}
	if rebuilt := write("two", hour.Add(2*time.Second)); rebuilt != second {
		t.Errorf("an identical rebuild is another: %s, before %s", rebuilt, second)
	}
	if fresh := write("six", time.Now()); write("ten", time.Now()) == fresh {
		t.Error("two changes within the resolution of times are one")
	}
}
