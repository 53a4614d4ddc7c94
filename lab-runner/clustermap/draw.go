package clustermap

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"wheelhouse/lab-runner/render"
)

// Row is one line of the drawing.
type Row struct {
	Text  string // without control characters, at most as wide as asked for
	Mark  Mark
	Title bool
}

// symbols stand before the name of a pod, so that its state needs no color.
var symbols = [...]string{Well: "*", UnderWay: "~", Failed: "!", Over: "-"}

// Legend says what the symbols mean.
const Legend = "* runs  ~ starts  ! fails  - over"

// Draw returns the map in at most height rows of at most width columns: a row for each pod, or,
// if that is too high, one for the pods of a node. Rows that are left out are counted in the last.
func (m Map) Draw(width, height int) []Row {
	width = max(width, 10)
	if height <= 0 {
		return nil
	}
	rows := m.draw(width, true)
	if len(rows) > height {
		rows = m.draw(width, false)
	}
	if len(rows) > height {
		left := len(rows) - height + 1
		rows = append(rows[:height-1:height-1], Row{Text: fmt.Sprintf("(%d more rows)", left), Mark: Over})
	}
	for i := range rows {
		rows[i].Text = clip(rows[i].Text, width)
	}
	return rows
}

// clip shows what is in a text of the cluster, at most width columns of it.
func clip(text string, width int) string {
	text = render.Visible(strings.ReplaceAll(text, "\n", " "))
	if render.Width(text) <= width {
		return text
	}
	head, _ := render.Cut(text, width-2)
	return head + ".."
}

func (m Map) draw(width int, each bool) []Row {
	var rows []Row
	nodes := sorted(m.nodes)
	for _, p := range m.pods { // of nodes that cannot be read, or are gone
		if _, there := m.nodes[p.node]; !there && p.node != "" && !slices.ContainsFunc(nodes, func(n node) bool { return n.name == p.node }) {
			nodes = append(nodes, node{name: p.node, mark: Over})
		}
	}
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.name, b.name) })
	for _, n := range nodes {
		rows = append(rows, Row{Text: nodeText(n, width), Mark: n.mark, Title: true})
		rows = append(rows, podRows(m.podsOf(n.name), width, each)...)
	}
	if waiting := m.podsOf(""); len(waiting) > 0 {
		rows = append(rows, Row{Text: "on no node", Mark: UnderWay, Title: true})
		rows = append(rows, podRows(waiting, width, each)...)
	}
	for _, s := range sorted(m.services) {
		rows = append(rows, m.serviceRows(s, width, each)...)
	}
	for _, k := range slices.Sorted(maps.Keys(m.more)) {
		rows = append(rows, Row{Text: fmt.Sprintf("more than %d %s", Limit, k), Mark: Over})
	}
	for _, k := range slices.Sorted(maps.Keys(m.denied)) {
		rows = append(rows, Row{Text: fmt.Sprintf("%s: %s", k, m.denied[k]), Mark: Over})
	}
	return rows
}

// nodeText has a node's name and state. Where kubectl's word for a cordoned node has no room, its state is said in short.
func nodeText(n node, width int) string {
	text := strings.TrimSpace("node " + n.name + "  " + n.state)
	if render.Width(text) > width {
		text = strings.Replace(text, "SchedulingDisabled", "cordoned", 1)
	}
	return text
}

// podRows has the pods of one node, each in a row or all in one.
func podRows(pods []pod, width int, each bool) (rows []Row) {
	if !each && len(pods) > 1 {
		return []Row{summary(pods)}
	}
	for _, p := range pods {
		state := render.Visible(p.state)
		room := width - len("  * ") - 1 - render.Width(state)
		rows = append(rows, Row{Text: "  " + symbols[p.mark] + " " + shorten(p.name, room) + " " + state, Mark: p.mark})
	}
	return rows
}

// shorten leaves out the middle of a name: its end distinguishes the pods of one controller.
func shorten(name string, room int) string {
	name = render.Visible(name)
	if render.Width(name) <= room {
		return name
	}
	if room < 8 {
		room = 8
	}
	tail := []rune(name)
	tail = tail[max(0, len(tail)-5):]
	head, _ := render.Cut(name, room-2-len(tail))
	return head + ".." + string(tail)
}

// summary counts the pods of a node by their state, and has a symbol for each of the first.
func summary(pods []pod) Row {
	var marks strings.Builder
	counts := map[string]int{}
	row := Row{Mark: Well}
	for i, p := range pods {
		if i < 10 {
			marks.WriteString(symbols[p.mark])
		}
		counts[p.state]++
		if p.mark == Failed || row.Mark == Well {
			row.Mark = p.mark
		}
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
	}
	row.Text = "  " + marks.String() + " " + strings.Join(parts, ", ")
	return row
}

// serviceRows has a service and the pods that it reaches.
func (m Map) serviceRows(s service, width int, each bool) []Row {
	ready, notReady := m.reached(s.name)
	row := Row{Text: "service " + s.name, Title: true}
	switch {
	case m.denied[Endpoints] != "": // drawn in a row of its own
		notReady = nil
	case len(ready) == 0:
		row.Mark = Failed
		row.Text += " reaches no pod"
	case !each:
		row.Text += fmt.Sprintf(" -> %d pods", len(ready))
	}
	if s.ports != "" {
		row.Text += "  " + s.ports
	}
	rows := []Row{row}
	if !each {
		return rows
	}
	for _, list := range []struct {
		mark  Mark
		names []string
	}{{Well, ready}, {UnderWay, notReady}} {
		for _, name := range list.names {
			text := "  -> " + shorten(name, width-5)
			if list.mark != Well {
				text = "  -x " + shorten(name, width-5-len(" not ready")) + " not ready"
			}
			rows = append(rows, Row{Text: text, Mark: list.mark})
		}
	}
	return rows
}
