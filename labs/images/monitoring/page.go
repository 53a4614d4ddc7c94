package main

import (
	"fmt"
	"html/template"
	"net/http"
	"sort"
	"strings"
	"time"
)

const (
	graphWidth, graphHeight = 480, 90
	// gap is how far apart two samples may be for a line between them.
	gap = 5 * time.Minute
)

// chart is one graph: a line of values over the last day, up to top.
type chart struct {
	Title, Now, Top string
	Line            string // of an SVG path
}

type group struct {
	Name   string
	Charts []chart
}

type page struct {
	Time        string
	Nodes, Pods []group
}

// Page serves the graphs. It takes no input.
func Page(store *Store, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = layout.Execute(w, graphs(store.Samples(), now())) // the client is gone
	})
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// graphs computes the page: nodes against what they have, then the pods of the last sample, those
// with most memory first, against the most that they used.
func graphs(samples []Sample, now time.Time) page {
	p := page{Time: now.UTC().Format("2006-01-02 15:04 UTC")}
	if len(samples) == 0 {
		return p
	}
	last := samples[len(samples)-1]
	for _, name := range names(last.Room, func(a, b string) bool { return a < b }) {
		pick := func(s Sample) (Use, bool) { u, ok := s.Nodes[name]; return u, ok }
		p.Nodes = append(p.Nodes, group{name, charts(samples, now, pick, last.Room[name])})
	}
	byMemory := func(a, b string) bool {
		if last.Pods[a].Memory != last.Pods[b].Memory {
			return last.Pods[a].Memory > last.Pods[b].Memory
		}
		return a < b
	}
	for _, name := range names(last.Pods, byMemory) {
		pick := func(s Sample) (Use, bool) { u, ok := s.Pods[name]; return u, ok }
		p.Pods = append(p.Pods, group{name, charts(samples, now, pick, Use{})})
	}
	return p
}

func names(m map[string]Use, less func(a, b string) bool) (list []string) {
	for name := range m {
		list = append(list, name)
	}
	sort.Slice(list, func(i, j int) bool { return less(list[i], list[j]) })
	return list
}

func charts(samples []Sample, now time.Time, pick func(Sample) (Use, bool), room Use) []chart {
	var most, latest Use
	for _, s := range samples {
		if u, ok := pick(s); ok {
			most, latest = Use{max(most.CPU, u.CPU), max(most.Memory, u.Memory)}, u
		}
	}
	if room == (Use{}) {
		room = most
	}
	cpu := func(s Sample) (int64, bool) { u, ok := pick(s); return u.CPU, ok }
	memory := func(s Sample) (int64, bool) { u, ok := pick(s); return u.Memory, ok }
	return []chart{
		{"CPU", fmt.Sprintf("%dm", latest.CPU), fmt.Sprintf("%dm", room.CPU), line(samples, now, cpu, room.CPU)},
		{"memory", mib(latest.Memory), mib(room.Memory), line(samples, now, memory, room.Memory)},
	}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// line returns the path of the values: a day wide, top high. Where samples are missing it is
// interrupted.
func line(samples []Sample, now time.Time, value func(Sample) (int64, bool), top int64) string {
	var b strings.Builder
	var before time.Time
	for _, s := range samples {
		v, ok := value(s)
		if !ok {
			continue
		}
		x := graphWidth - graphWidth*now.Sub(s.Time).Seconds()/kept.Seconds()
		y := float64(graphHeight)
		if top > 0 {
			y -= graphHeight * float64(min(v, top)) / float64(top)
		}
		verb := "L"
		if s.Time.Sub(before) > gap {
			verb = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", verb, x, y)
		if verb == "M" {
			fmt.Fprintf(&b, "l.1 0") // a single sample is seen, too
		}
		before = s.Time
	}
	return b.String()
}

var layout = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="60">
<title>Monitoring</title>
<style>
body{font:15px/1.4 sans-serif;margin:2em auto;max-width:66em;padding:0 1em;color:#222;background:#fff}
h2{margin:1.5em 0 .3em} h3{margin:1em 0 .2em;font-size:1em} .row{display:flex;flex-wrap:wrap;gap:1.5em}
figure{margin:0;flex:1 1 26em} figcaption{font-size:.85em;color:#555} svg{width:100%;height:auto;background:#f4f6f8}
path{fill:none;stroke:#1565c0;stroke-width:1.5;vector-effect:non-scaling-stroke}
</style></head><body>
<h1>Monitoring</h1><p>{{.Time}}. Each graph is the last 24 hours.</p>
<h2>Nodes</h2>{{range .Nodes}}{{template "group" .}}{{else}}<p>There is no sample yet; the first comes within a minute or two.</p>{{end}}
<h2>Pods</h2>{{range .Pods}}{{template "group" .}}{{else}}<p>No pod uses anything.</p>{{end}}
</body></html>
{{define "group"}}<h3>{{.Name}}</h3><div class="row">{{range .Charts}}
<figure><svg viewBox="0 0 480 90" role="img" aria-label="{{.Title}}: {{.Now}}"><path d="{{.Line}}"/></svg>
<figcaption>{{.Title}}: {{.Now}}, top of the graph {{.Top}}</figcaption></figure>{{end}}</div>
{{end}}`))
