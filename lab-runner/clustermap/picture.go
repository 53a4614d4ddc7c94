package clustermap

import (
	"maps"
	"slices"
)

// Picture is a Map for another program to draw.
type Picture struct {
	Nodes    []PictureNode    `json:"nodes"`
	Pods     []PicturePod     `json:"pods"`
	Services []PictureService `json:"services"`
}

// PictureNode is a node. Where nodes cannot be read, it is one that a pod is on, and counts as ready.
type PictureNode struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

// PicturePod is a pod.
type PicturePod struct {
	Name   string `json:"name"`
	Node   string `json:"node"`
	State  string `json:"state"`  // well, underway, failed, over
	Phrase string `json:"phrase"` // as the column STATUS of kubectl
}

// PictureService is a service, with the pods that are ready behind it.
type PictureService struct {
	Name string   `json:"name"`
	Pods []string `json:"pods"`
}

var marks = map[Mark]string{Well: "well", UnderWay: "underway", Failed: "failed", Over: "over"}

// Picture returns what the map has, each kind ordered by name.
func (m Map) Picture() Picture {
	out := Picture{Nodes: []PictureNode{}, Pods: []PicturePod{}, Services: []PictureService{}}
	nodes := map[string]bool{}
	for name, n := range m.nodes {
		nodes[name] = n.mark != Failed
	}
	for _, p := range sorted(m.pods) {
		out.Pods = append(out.Pods, PicturePod{Name: p.name, Node: p.node, State: marks[p.mark], Phrase: p.state})
		if _, known := nodes[p.node]; !known && p.node != "" && m.denied[Nodes] != "" {
			nodes[p.node] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		out.Nodes = append(out.Nodes, PictureNode{Name: name, Ready: nodes[name]})
	}
	for _, s := range sorted(m.services) {
		ready, _ := m.reached(s.name)
		if ready == nil {
			ready = []string{}
		}
		out.Services = append(out.Services, PictureService{Name: s.name, Pods: ready})
	}
	return out
}
