package connection

import (
	"unicode/utf8"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// As upstream: when all warnings together have more than maxWarnings characters, each is
// truncated to maxWarning, and there are only as many as fit into maxWarnings.
const (
	maxWarnings = 4 << 10
	maxWarning  = 256
)

// warnings are those of one answer, each once.
type warnings struct {
	texts     []string
	known     map[string]bool
	length    int // of those in the header, in characters
	truncated bool
}

// Warn adds a warning to the answer, once; kubectl prints them.
func (w *Writer) Warn(text string) {
	all := &w.warnings
	if text == "" || all.known[text] || all.truncated && all.length >= maxWarnings {
		return
	}
	if all.known == nil {
		all.known = map[string]bool{}
	}
	all.known[text] = true
	all.texts = append(all.texts, text)
	if !all.truncated && all.length+utf8.RuneCountInString(text) > maxWarnings {
		all.truncated, all.length = true, 0
		w.Header().Del("Warning")
		for _, t := range all.texts {
			w.addWarning(t)
		}
		return
	}
	w.addWarning(text)
}

func (w *Writer) addWarning(text string) {
	if w.warnings.truncated && utf8.RuneCountInString(text) > maxWarning {
		text = string([]rune(text)[:maxWarning])
	}
	if header, err := utilnet.NewWarningHeader(299, "-", text); err == nil {
		w.warnings.length += utf8.RuneCountInString(text)
		w.Header().Add("Warning", header)
	}
}
