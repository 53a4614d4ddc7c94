package why

import (
	"slices"
	"strings"

	"wheelhouse/lab-runner/near"
)

// nearLabels returns the labels among sets that were probably meant by a selector: all of it but one or two near values or
// keys. It returns the words of the difference, such as `app=web (the selector has app=wbe)`.
func nearLabels(selector map[string]string, sets []map[string]string) (difference string) {
	fewest := 3
	for _, set := range sets {
		var wrong []string
		for _, k := range slices.Sorted(keysOf(selector)) {
			v := selector[k]
			got, has := set[k]
			switch {
			case has && got == v:
			case has && near.Is(v, got):
				wrong = append(wrong, k+"="+got+", not "+k+"="+v)
			case !has && near.Name(k, slices.Collect(keysOf(set))) != "" && set[near.Name(k, slices.Collect(keysOf(set)))] == v:
				wrong = append(wrong, near.Name(k, slices.Collect(keysOf(set)))+"="+v+", not "+k+"="+v)
			default:
				wrong = append(wrong, "", "", "")
			}
		}
		if len(wrong) > 0 && len(wrong) < fewest {
			fewest, difference = len(wrong), strings.Join(wrong, "; ")
		}
	}
	return difference
}

func keysOf[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
