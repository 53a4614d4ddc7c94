package steps

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestRunFindsTheStepOfASentence(t *testing.T) {
	w := &World{Dir: t.TempDir(), Env: os.Environ(), Patience: 50 * time.Millisecond}
	for _, c := range []struct{ text, doc, want string }{
		{"`echo a b` prints \"a b\"", "", ""},
		{"`echo a b` prints \"c\"", "", "wanted: `echo a b` prints \"c\""},
		{"`printf 'a  b\\nc\\n'` prints:", "a b\nc", ""},
		{"`echo a` prints:", "", "no block of text"},
		{"`true` succeeds", "", ""},
		{"`false` succeeds", "", "exit status 1"},
		{"pod \"a\" has restarted 99999999999999999999 times", "", "value out of range"},
	} {
		err := w.Run(t.Context(), c.text, c.doc)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
	for _, text := range []string{"all is well", "`true` succeeds, and more", ""} {
		if err := w.Run(t.Context(), text, ""); !errors.Is(err, ErrUndefined) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
