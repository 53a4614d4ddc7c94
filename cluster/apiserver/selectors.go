package apiserver

import (
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/apiserver/apistatus"
)

// maxSelection bounds what it costs to try the selectors of a request on one object, where
// a value counts for one and a requirement for requirementCost. Those of a watch are tried
// on each change while the whole collection waits.
const (
	maxSelection    = 1000
	requirementCost = 10
)

// checkSelectors refuses selectors that cost too much.
func checkSelectors(label labels.Selector, field fields.Selector) error {
	cost := requirementCost * len(field.Requirements())
	requirements, _ := label.Requirements()
	for i := range requirements {
		cost += requirementCost + len(requirements[i].ValuesUnsorted())
	}
	if cost > maxSelection {
		return apistatus.BadRequest("the selectors have too many requirements: at most %d, or %d values in one, are allowed",
			maxSelection/requirementCost, maxSelection-requirementCost)
	}
	return nil
}
