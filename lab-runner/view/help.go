package view

import (
	"fmt"
	"slices"
	"strings"

	"wheelhouse/lab-runner/clustermap"
)

// keyHelp says what a key is for, in a word and in full.
type keyHelp struct{ key, short, long string }

// keys are what each key is for; the line at the bottom has the first that fit.
var keys = []keyHelp{
	{"Enter", "run", "run the command under the cursor, or give the answer"},
	{"n", "next", "the next step (N: even if checks are to do)"},
	{"?", "help", "these keys"},
	{"x", "shell", "an ordinary shell with the lab's variables; 'exit' comes back"},
	{"h", "hint", "a hint"},
	{"w", "why", "why a check is not true"},
	{"q", "quit", "leave; 'lab' resumes here"},
	{"Tab", "panes", "the next part of the screen, or scroll the output"},
	{"b", "back", "the step before"},
	{"l", "labs", "the list of labs"},
	{"g", "goto", "go to any step: its state is built"},
	{"r", "reset", "bring back the state before this step"},
	{"s", "solve", "solve this step"},
	{"c", "check", "evaluate the checks now, with what is missing"},
	{"Up Down", "", "move the cursor; PgUp, PgDn and Space scroll"},
	{"Ctrl+C", "", "interrupt the command that runs; twice: leave"},
}

func helpRows(width int) []row {
	rows := []row{text(bold, "Keys (Down scrolls, others close this)")}
	for _, k := range keys {
		rows = append(rows, wrapped(plain, fmt.Sprintf("%-9s", k.key), k.long, width)...)
	}
	rows = append(rows, row{})
	return append(rows, wrapped(faint, "", "Commands: v has run, ! did not end as it should. Checks: [ ] to do, [x] done, [!] not true any more. Pods: "+clustermap.Legend, width)...)
}

// keysRow has the keys that fit in the width.
func (m *Model) keysRow() row {
	var parts []string
	used := 0
	shown := slices.Clone(keys)
	if !m.wide() { // there only Tab leads to the checks
		tab := slices.IndexFunc(shown, func(k keyHelp) bool { return k.key == "Tab" })
		shown = slices.Insert(slices.Delete(shown, tab, tab+1), 2, keys[tab])
	}
	for _, k := range shown {
		if k.short == "" || m.lab == nil && !slices.Contains([]string{"Enter", "?", "q"}, k.key) {
			continue
		}
		part := k.key + " " + k.short
		if m.lab == nil && k.key == "Enter" {
			part = "Enter open"
		}
		if used+len(part) > m.width {
			break
		}
		used += len(part) + 2
		parts = append(parts, part)
	}
	return row{{faint, strings.Join(parts, "  ")}}
}
