package render

import "github.com/charmbracelet/x/ansi"

// Width returns the columns that a text without control characters takes in a terminal.
func Width(s string) int { return ansi.StringWidth(s) }

// Cut divides a text without control characters after at most width columns. A character that is
// wider than the width goes to the head, so that the head is not empty.
func Cut(s string, width int) (head, tail string) {
	used, end := 0, 0
	for end < len(s) {
		cluster, columns := ansi.FirstGraphemeCluster(s[end:], ansi.GraphemeWidth)
		if used+columns > width && end > 0 {
			break
		}
		used += columns
		end += len(cluster)
	}
	return s[:end], s[end:]
}
