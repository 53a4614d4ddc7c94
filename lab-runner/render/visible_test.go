package render_test

import (
	"testing"

	"wheelhouse/lab-runner/render"
)

func TestVisible(t *testing.T) {
	for s, want := range map[string]string{
		"plain\nlines":           "plain\nlines",
		"\x1b[31mred\x1b[m":      "^[[31mred^[[m",
		"\x1b]0;title\a":         "^[]0;title^G",
		"a\tb\n\tc":              "a       b\n        c",
		"a\r\nb\rc":              "a\nb^Mc",
		"\x7f":                   "^?",
		"\u009b31m":              `\u009b31m`,
		"name\u202egnp.exe":      `name\u202egnp.exe`,
		"zero\u200bwidth":        `zero\u200bwidth`,
		"\xff\xc3(":              `\xff\xc3(`,
		"grün 日本 ✓":              "grün 日本 ✓",
		"\U000e0041":             `\U000e0041`,
		"\u2028":                 `\u2028`,
		"\x00":                   "^@",
		"日\tx":                   "日      x",
		"line\n\x1b[2Jnext\x1bc": "line\n^[[2Jnext^[c",
	} {
		if got := render.Visible(s); got != want {
			t.Errorf("%q is shown as %q, wanted %q", s, got, want)
		}
	}
}
