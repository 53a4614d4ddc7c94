package apiserver

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
)

// writeOptions are what all writes have in common.
type writeOptions struct {
	options    runtime.Object // as the client sent them
	dryRun     bool
	manager    string
	force      bool
	validation string // of fields: Strict, Warn (the default) or Ignore
	// applied: the object has its managedFields. untracked: it shall have none.
	applied, untracked bool
}

func newWriteOptions(req *http.Request, options runtime.Object, dryRun []string, manager, fieldValidation string) writeOptions {
	if manager == "" {
		manager = agentName(req.UserAgent())
	}
	if fieldValidation == "" {
		fieldValidation = metav1.FieldValidationWarn
	}
	return writeOptions{options: options, dryRun: len(dryRun) > 0, manager: manager, validation: fieldValidation}
}

// agentName returns the program's name, with which its user agent begins.
func agentName(agent string) string {
	name, _, _ := strings.Cut(agent, "/")
	out := make([]byte, 0, min(len(name), validation.FieldManagerMaxLength))
	for _, c := range name {
		if !unicode.IsPrint(c) {
			continue
		}
		if len(out)+utf8.RuneLen(c) > validation.FieldManagerMaxLength {
			break
		}
		out = utf8.AppendRune(out, c)
	}
	return string(out)
}

func createOptions(req *http.Request) (writeOptions, error) {
	var o metav1.CreateOptions
	if req.URL.RawQuery != "" {
		query := req.URL.Query()
		if err := metav1.Convert_url_Values_To_v1_CreateOptions(&query, &o, nil); err != nil {
			return writeOptions{}, apistatus.BadRequest("%v", err)
		}
		if errs := validation.ValidateCreateOptions(&o); len(errs) > 0 {
			return writeOptions{}, invalidOptions("CreateOptions", errs)
		}
	}
	return newWriteOptions(req, &o, o.DryRun, o.FieldManager, o.FieldValidation), nil
}

func updateOptions(req *http.Request) (writeOptions, error) {
	var o metav1.UpdateOptions
	if req.URL.RawQuery != "" {
		query := req.URL.Query()
		if err := metav1.Convert_url_Values_To_v1_UpdateOptions(&query, &o, nil); err != nil {
			return writeOptions{}, apistatus.BadRequest("%v", err)
		}
		if errs := validation.ValidateUpdateOptions(&o); len(errs) > 0 {
			return writeOptions{}, invalidOptions("UpdateOptions", errs)
		}
	}
	return newWriteOptions(req, &o, o.DryRun, o.FieldManager, o.FieldValidation), nil
}

func patchOptions(req *http.Request, patchType types.PatchType) (writeOptions, error) {
	var o metav1.PatchOptions
	query := req.URL.Query()
	if err := metav1.Convert_url_Values_To_v1_PatchOptions(&query, &o, nil); err != nil {
		return writeOptions{}, apistatus.BadRequest("%v", err)
	}
	if errs := validation.ValidatePatchOptions(&o, patchType); len(errs) > 0 {
		return writeOptions{}, invalidOptions("PatchOptions", errs)
	}
	w := newWriteOptions(req, &o, o.DryRun, o.FieldManager, o.FieldValidation)
	w.force = o.Force != nil && *o.Force
	return w, nil
}

func invalidOptions(kind string, errs field.ErrorList) error {
	return apistatus.Invalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
}

// listOptions reads and checks the query of a list or watch.
func listOptions(u *url.URL, watching bool) (*metav1.ListOptions, error) {
	o := &metav1.ListOptions{}
	if u.RawQuery == "" {
		return o, nil
	}
	query := u.Query()
	if err := metav1.Convert_url_Values_To_v1_ListOptions(&query, o, nil); err != nil {
		return nil, apistatus.BadRequest("%v", err)
	}
	if errs := checkListOptions(o, watching); len(errs) > 0 {
		return nil, invalidOptions("ListOptions", errs)
	}
	return o, nil
}

func checkListOptions(o *metav1.ListOptions, watching bool) field.ErrorList {
	var errs field.ErrorList
	match := field.NewPath("resourceVersionMatch")
	initial := field.NewPath("sendInitialEvents")
	if watching {
		return checkWatchOptions(o)
	}
	if o.SendInitialEvents != nil {
		errs = append(errs, field.Forbidden(initial, "sendInitialEvents is forbidden for list"))
	}
	if o.ResourceVersionMatch == "" {
		return errs
	}
	if o.ResourceVersion == "" {
		errs = append(errs, field.Forbidden(match, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
	}
	if o.Continue != "" {
		errs = append(errs, field.Forbidden(match, "resourceVersionMatch is forbidden when continue is provided"))
	}
	if o.ResourceVersionMatch != metav1.ResourceVersionMatchExact && o.ResourceVersionMatch != metav1.ResourceVersionMatchNotOlderThan {
		errs = append(errs, field.NotSupported(match, o.ResourceVersionMatch,
			[]metav1.ResourceVersionMatch{metav1.ResourceVersionMatchExact, metav1.ResourceVersionMatchNotOlderThan, ""}))
	}
	if o.ResourceVersionMatch == metav1.ResourceVersionMatchExact && o.ResourceVersion == "0" {
		errs = append(errs, field.Forbidden(match, `resourceVersionMatch "exact" is forbidden for resourceVersion "0"`))
	}
	return errs
}

// checkWatchOptions checks what only makes sense together, as upstream's validation of a watch.
func checkWatchOptions(o *metav1.ListOptions) field.ErrorList {
	var errs field.ErrorList
	match := field.NewPath("resourceVersionMatch")
	if o.SendInitialEvents != nil && o.ResourceVersionMatch != metav1.ResourceVersionMatchNotOlderThan {
		errs = append(errs, field.Forbidden(match, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
	}
	if o.ResourceVersionMatch == "" {
		return errs
	}
	if o.SendInitialEvents == nil {
		errs = append(errs, field.Forbidden(match, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
	}
	if o.ResourceVersionMatch != metav1.ResourceVersionMatchNotOlderThan {
		errs = append(errs, field.NotSupported(match, o.ResourceVersionMatch, []metav1.ResourceVersionMatch{metav1.ResourceVersionMatchNotOlderThan}))
	}
	if o.Continue != "" {
		errs = append(errs, field.Forbidden(match, "resourceVersionMatch is forbidden when continue is provided"))
	}
	return errs
}

// selection reads the query of a list or watch: its options, and the filter of its selectors,
// which keeps at most the object of a name.
func (r *exchange) selection(watching bool, name string) (*metav1.ListOptions, func(api.Object) bool, error) {
	o, err := listOptions(r.URL, watching)
	if err != nil {
		return nil, nil, err
	}
	keep, err := r.res.keep(o, name)
	return o, keep, err
}

// keep returns the filter of the selectors; nil keeps all.
func (r *resource) keep(o *metav1.ListOptions, name string) (func(api.Object) bool, error) {
	label, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, apistatus.BadRequest("%v", err)
	}
	selector, err := fields.ParseSelector(o.FieldSelector)
	if err != nil {
		return nil, apistatus.BadRequest("%v", err)
	}
	if err := checkSelectors(label, selector); err != nil {
		return nil, err
	}
	if name != "" {
		selector = fields.AndSelectors(fields.OneTermEqualSelector("metadata.name", name), selector)
	}
	own := false // the selector needs the kind's own fields
	for _, q := range selector.Requirements() {
		if !r.fieldLabels[q.Field] {
			if r.Fields == nil { // upstream's text for kinds with no selectors of their own
				return nil, apistatus.BadRequest(`%q is not a known field selector: only "metadata.name", "metadata.namespace"`, q.Field)
			}
			return nil, apistatus.BadRequest("field label not supported: %s", q.Field)
		}
		own = own || (q.Field != "metadata.name" && q.Field != "metadata.namespace")
	}
	if label.Empty() && selector.Empty() {
		return nil, nil
	}
	byLabel, byField := !label.Empty(), !selector.Empty()
	return func(obj api.Object) bool {
		if byLabel && !label.Matches(labels.Set(obj.GetLabels())) {
			return false
		}
		return !byField || selector.Matches(r.fieldSet(obj, own))
	}, nil
}

// fieldSet returns the fields of an object for field selectors.
func (r *resource) fieldSet(obj api.Object, own bool) fields.Set {
	set := fields.Set{}
	if own {
		set = r.Fields(obj)
	}
	set["metadata.name"] = obj.GetName()
	set["metadata.namespace"] = obj.GetNamespace()
	return set
}

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
