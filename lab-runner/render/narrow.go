package render

import "strings"

// Narrow returns lines that a program printed with less space between their columns, if one of them has more columns
// than width: two spaces, or one if only that makes all of them fit. A column is where each line of a group has a space;
// empty lines separate groups. Spaces at the beginning of all lines stay. Lines with other characters than ASCII's are
// returned as they are. The work is linear in the text.
func Narrow(lines []string, width int) []string {
	var out []string
	for len(lines) > 0 {
		n := 0
		for n < len(lines) && strings.TrimSpace(lines[n]) != "" {
			n++
		}
		out = append(out, narrowGroup(lines[:n], width)...)
		if n < len(lines) {
			out = append(out, lines[n])
			n++
		}
		lines = lines[n:]
	}
	return out
}

func narrowGroup(lines []string, width int) []string {
	longest := 0
	for _, l := range lines {
		if strings.IndexFunc(l, func(r rune) bool { return r > '~' }) >= 0 {
			return lines
		}
		longest = max(longest, len(strings.TrimRight(l, " ")))
	}
	if longest <= width {
		return lines
	}
	used := make([]bool, longest) // columns in which a line has a character
	for _, l := range lines {
		for i := range min(len(l), longest) {
			used[i] = used[i] || l[i] != ' '
		}
	}
	two, longest := withGap(lines, used, 2)
	if longest > width {
		if one, longest := withGap(lines, used, 1); longest <= width {
			return one
		}
	}
	return two
}

// withGap returns the lines with at most gap spaces for each run of unused columns, apart from the first columns, and
// the length of the longest.
func withGap(lines []string, used []bool, gap int) (out []string, longest int) {
	for _, l := range lines {
		var b strings.Builder
		run, begun := 0, false
		for i := range min(len(l), len(used)) {
			if run++; used[i] {
				run, begun = 0, true
			}
			if !begun || run <= gap {
				b.WriteByte(l[i])
			}
		}
		line := strings.TrimRight(b.String(), " ")
		out, longest = append(out, line), max(longest, len(line))
	}
	return out, longest
}
