package apiserver

import (
	"unicode/utf8"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// As upstream: when all warnings together have more than maxWarnings characters, each is
// cut to maxWarning, and there are no more than fill maxWarnings then.
const (
	maxWarnings = 4 << 10
	maxWarning  = 256
)

// warnings are those of one answer, each once.
type warnings struct {
	texts  []string
	known  map[string]bool
	length int // of those in the header, in characters
	cut    bool
}

// warn adds a warning to the answer; kubectl prints them. A write that another one came
// between is judged again, and warned of once.
func (r *request) warn(text string) {
	w := &r.warnings
	if text == "" || w.known[text] || w.cut && w.length >= maxWarnings {
		return
	}
	if w.known == nil {
		w.known = map[string]bool{}
	}
	w.known[text] = true
	w.texts = append(w.texts, text)
	if !w.cut && w.length+utf8.RuneCountInString(text) > maxWarnings {
		w.cut, w.length = true, 0
		r.w.Header().Del("Warning")
		for _, t := range w.texts {
			r.addWarning(t)
		}
		return
	}
	r.addWarning(text)
}

func (r *request) addWarning(text string) {
	if r.warnings.cut && utf8.RuneCountInString(text) > maxWarning {
		text = string([]rune(text)[:maxWarning])
	}
	if header, err := utilnet.NewWarningHeader(299, "-", text); err == nil {
		r.warnings.length += utf8.RuneCountInString(text)
		r.w.Header().Add("Warning", header)
	}
}
