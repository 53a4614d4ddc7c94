package audit

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/apiserver/authz"
)

//go:embed default.yaml
var defaultPolicy []byte

// LoadPolicy reads a policy file, strictly; without a path it returns the default policy.
func LoadPolicy(path string) (*Policy, error) {
	data := defaultPolicy
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("the audit policy: %w", err)
		}
	}
	p, err := ParsePolicy(data)
	if err != nil {
		return nil, fmt.Errorf("the audit policy %s: %w", path, err)
	}
	return p, nil
}

// ParsePolicy reads and validates a policy.
func ParsePolicy(data []byte) (*Policy, error) {
	p := &Policy{}
	if err := yaml.UnmarshalStrict(data, p); err != nil {
		return nil, err
	}
	if p.APIVersion != apiVersion || p.Kind != "Policy" {
		return nil, fmt.Errorf("it is a %q of %q, want a Policy of %s", p.Kind, p.APIVersion, apiVersion)
	}
	errs := validateStages(p.OmitStages, field.NewPath("omitStages"))
	rules := field.NewPath("rules")
	if len(p.Rules) == 0 {
		errs = append(errs, field.Required(rules, "a policy without rules writes nothing"))
	}
	for i := range p.Rules {
		errs = append(errs, p.Rules[i].validate(rules.Index(i))...)
	}
	return p, errs.ToAggregate()
}

func validateStages(list []Stage, p *field.Path) (errs field.ErrorList) {
	for i, s := range list {
		if !slices.Contains(stages, s) {
			errs = append(errs, field.NotSupported(p.Index(i), s, stages))
		}
	}
	return errs
}

func (r *PolicyRule) validate(p *field.Path) field.ErrorList {
	errs := validateStages(r.OmitStages, p.Child("omitStages"))
	if r.Level == "" {
		errs = append(errs, field.Required(p.Child("level"), ""))
	} else if !slices.Contains(levels, r.Level) {
		errs = append(errs, field.NotSupported(p.Child("level"), r.Level, levels))
	}
	if len(r.NonResourceURLs) > 0 && len(r.Resources)+len(r.Namespaces) > 0 {
		errs = append(errs, field.Invalid(p.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
	}
	for i, url := range r.NonResourceURLs {
		if stars := strings.Count(url, "*"); url != "*" && (!strings.HasPrefix(url, "/") || stars > 1 || stars == 1 && !strings.HasSuffix(url, "*")) {
			errs = append(errs, field.Invalid(p.Child("nonResourceURLs").Index(i), url, "must begin with '/', and may have one '*', at its end"))
		}
	}
	for i, g := range r.Resources {
		at := p.Child("resources").Index(i)
		if g.Group != "" && len(validation.IsDNS1123Subdomain(g.Group)) > 0 {
			errs = append(errs, field.Invalid(at.Child("group"), g.Group, "must be the name of a group, without a version"))
		}
		if len(g.ResourceNames) > 0 && len(g.Resources) == 0 {
			errs = append(errs, field.Invalid(at.Child("resourceNames"), g.ResourceNames, "using resourceNames requires at least one resource"))
		}
	}
	return errs
}

// Decision is the result of a policy for one request.
type Decision struct {
	Level             Level
	OmitManagedFields bool
	omit              [2][]Stage
}

// Omits reports whether no event of the stage is written.
func (d *Decision) Omits(s Stage) bool {
	return slices.Contains(d.omit[0], s) || slices.Contains(d.omit[1], s)
}

// Records reports whether the level, or a higher one, is the request's.
func (d *Decision) Records(l Level) bool {
	return slices.Index(levels, d.Level) >= slices.Index(levels, l)
}

// decide applies the first rule that matches.
func (p *Policy) decide(at *authz.Attributes) Decision {
	for i := range p.Rules {
		r := &p.Rules[i]
		if !r.matches(at) {
			continue
		}
		d := Decision{Level: r.Level, OmitManagedFields: p.OmitManagedFields, omit: [2][]Stage{p.OmitStages, r.OmitStages}}
		if r.OmitManagedFields != nil {
			d.OmitManagedFields = *r.OmitManagedFields
		}
		return d
	}
	return Decision{Level: LevelNone}
}

func (r *PolicyRule) matches(at *authz.Attributes) bool {
	if len(r.Users) > 0 && (at.User == nil || !slices.Contains(r.Users, at.User.Name)) {
		return false
	}
	if len(r.UserGroups) > 0 && !slices.ContainsFunc(r.UserGroups, at.User.InGroup) {
		return false
	}
	if len(r.Verbs) > 0 && !slices.Contains(r.Verbs, at.Verb) {
		return false
	}
	switch {
	case len(r.Resources)+len(r.Namespaces) > 0:
		return at.ResourceRequest && r.matchesResource(at)
	case len(r.NonResourceURLs) > 0:
		return !at.ResourceRequest && slices.ContainsFunc(r.NonResourceURLs, func(url string) bool { return matchesURL(url, at.Path) })
	}
	return true
}

func matchesURL(url, path string) bool {
	if prefix, ok := strings.CutSuffix(url, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return url == path
}

func (r *PolicyRule) matchesResource(at *authz.Attributes) bool {
	if len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, at.Namespace) {
		return false
	}
	return len(r.Resources) == 0 || slices.ContainsFunc(r.Resources, func(g GroupResources) bool { return g.matches(at) })
}

func (g *GroupResources) matches(at *authz.Attributes) bool {
	if g.Group != at.Group {
		return false
	}
	if len(g.ResourceNames) > 0 && !slices.Contains(g.ResourceNames, at.Name) {
		return false
	}
	return len(g.Resources) == 0 || slices.ContainsFunc(g.Resources, func(rule string) bool { return matchesRule(rule, at) })
}

func matchesRule(rule string, at *authz.Attributes) bool {
	resource, subresource, both := strings.Cut(rule, "/")
	switch {
	case rule == "*":
		return true
	case !both:
		return resource == at.Resource && at.Subresource == ""
	case resource == "*":
		return at.Subresource != "" && subresource == at.Subresource
	case subresource == "*":
		return resource == at.Resource
	}
	return resource == at.Resource && subresource == at.Subresource
}
