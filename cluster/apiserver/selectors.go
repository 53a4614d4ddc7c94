package apiserver

import (
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
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
		return badRequest("the selectors have too many requirements: at most %d, or %d values in one, are allowed",
			maxSelection/requirementCost, maxSelection-requirementCost)
	}
	return nil
}

// selectedFields is what the field selector of a list or watch narrows it to, for the
// authorizer; nil for other requests, and for a selector that cannot be read, which is
// answered with 400 later.
func (r *request) selectedFields() fields.Requirements {
	switch r.Verb {
	case "list", "watch", "deletecollection":
	default:
		return nil
	}
	if !strings.Contains(r.URL.RawQuery, "fieldSelector") {
		return nil
	}
	selector, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		return nil
	}
	return selector.Requirements()
}
