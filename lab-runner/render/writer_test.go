package render_test

import (
	"bytes"
	"testing"

	"wheelhouse/lab-runner/render"
)

// Whatever the writes a text comes in, it is printed as a whole would be.
func TestWriter(t *testing.T) {
	text := "a\x1b[2J é 世界 🙂 \u009b31m \u202e\xff\n"
	want := render.Visible(text)
	for size := 1; size <= len(text); size++ {
		var out bytes.Buffer
		w := render.NewWriter(&out)
		for rest := []byte(text); len(rest) > 0; {
			n := min(size, len(rest))
			if wrote, err := w.Write(rest[:n]); err != nil || wrote != n {
				t.Fatalf("%d, %v", wrote, err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, &out, want)
		}
	}
}
