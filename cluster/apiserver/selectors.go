package apiserver

import (
	"strings"

	"k8s.io/apimachinery/pkg/fields"
)

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
