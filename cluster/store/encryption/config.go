// Package encryption encrypts values in etcd according to an EncryptionConfiguration
// (apiserver.config.k8s.io/v1): the format of the values is upstream's, so that an etcd
// that a kube-apiserver has written can be read, and the other way round.
//
// It owns the configuration's file, the providers, the reload while the server runs and
// the steps by which keys are rotated. It never writes to etcd, and no error or log line
// of it holds a key.
package encryption

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

const (
	apiVersion = "apiserver.config.k8s.io/v1"
	kind       = "EncryptionConfiguration"
)

// Configuration is an EncryptionConfiguration.
type Configuration struct {
	metav1.TypeMeta `json:",inline"`
	Resources       []ResourceConfiguration `json:"resources"`
}

// ResourceConfiguration is how some resources are encrypted: the first provider writes,
// every provider reads.
type ResourceConfiguration struct {
	// Resources are names such as "secrets" or "deployments.apps", "*.apps" for all of
	// a group ("*." for the core group), or "*.*" for all.
	Resources []string   `json:"resources"`
	Providers []Provider `json:"providers"`
}

// Provider is one way to encrypt; exactly one field is set.
type Provider struct {
	AESGCM    *Keys     `json:"aesgcm,omitempty"`
	AESCBC    *Keys     `json:"aescbc,omitempty"`
	Secretbox *Keys     `json:"secretbox,omitempty"`
	Identity  *struct{} `json:"identity,omitempty"`
	KMS       *any      `json:"kms,omitempty"` // is refused
}

// Keys are those of a provider: the first writes, all read.
type Keys struct {
	Keys []Key `json:"keys"`
}

// Key is a named key, in base64. It is never printed.
type Key struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
}

// Format keeps the secret out of whatever is printed.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.Name+":REDACTED") }

// Parse reads a configuration, strictly, and validates it.
func Parse(data []byte) (*Configuration, error) {
	c := &Configuration{}
	if err := yaml.UnmarshalStrict(data, c); err != nil {
		return nil, err
	}
	if c.APIVersion != apiVersion || c.Kind != kind {
		return nil, fmt.Errorf("it is a %q of %q, want a %q of %q", c.Kind, c.APIVersion, kind, apiVersion)
	}
	return c, c.validate().ToAggregate()
}

func (c *Configuration) validate() (errs field.ErrorList) {
	root := field.NewPath("resources")
	if len(c.Resources) == 0 {
		return field.ErrorList{field.Required(root, "at least one is required")}
	}
	for i, r := range c.Resources {
		errs = append(errs, r.validate(root.Index(i))...)
	}
	return append(errs, c.validateOrder(root)...)
}

// validateOrder refuses what an earlier wildcard would mask.
func (c *Configuration) validateOrder(root *field.Path) (errs field.ErrorList) {
	earlier := map[schema.GroupResource]bool{}
	for i, r := range c.Resources {
		for j, name := range r.Resources {
			gr := schema.ParseGroupResource(name)
			for _, wider := range []schema.GroupResource{{Group: gr.Group, Resource: "*"}, everything} {
				if earlier[wider] {
					errs = append(errs, field.Invalid(root.Index(i).Child("resources").Index(j), name, fmt.Sprintf("is masked by the earlier %q", wider.String())))
				}
			}
		}
		for _, name := range r.Resources {
			earlier[schema.ParseGroupResource(name)] = true
		}
	}
	return errs
}

var everything = schema.GroupResource{Group: "*", Resource: "*"}

func (r *ResourceConfiguration) validate(p *field.Path) (errs field.ErrorList) {
	names, providers := p.Child("resources"), p.Child("providers")
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(names, "at least one is required"))
	}
	for i, name := range r.Resources {
		if why := wrongName(name, r.Resources[:i]); why != "" {
			errs = append(errs, field.Invalid(names.Index(i), name, why))
		}
	}
	if len(r.Providers) == 0 {
		errs = append(errs, field.Required(providers, "at least one is required"))
	}
	for i := range r.Providers {
		errs = append(errs, r.Providers[i].validate(providers.Index(i))...)
	}
	return errs
}

// wrongName is what is wrong with the name of a resource beside others, "" for nothing.
func wrongName(name string, others []string) string {
	gr := schema.ParseGroupResource(name)
	switch {
	case strings.ToLower(name) != name:
		return "the name of a resource has no capital letters"
	case name == "*":
		return "use '*.' for all resources of the core group or '*.*' for all"
	case gr.Group == "*" && gr.Resource != "*":
		return "a resource cannot be encrypted across groups"
	case gr.Group == "events.k8s.io":
		return "Events are stored as those of the core group: use 'events'"
	case gr.Group == "extensions":
		return "the group has been removed; name the resource in the group that it is stored in"
	case slices.Contains(others, name):
		return "is named before"
	}
	for _, other := range others {
		o := schema.ParseGroupResource(other)
		if gr == everything || o == everything || gr.Group == o.Group && (gr.Resource == "*" || o.Resource == "*") {
			return fmt.Sprintf("overlaps with %q in the same list", other)
		}
	}
	return ""
}

func (p *Provider) validate(path *field.Path) (errs field.ErrorList) {
	if p.KMS != nil {
		return field.ErrorList{field.Forbidden(path.Child("kms"), "is not supported: use secretbox, aesgcm, aescbc or identity")}
	}
	set := 0
	for _, w := range ways {
		keys := w.keys(p)
		if keys == nil {
			continue
		}
		set++
		at := path.Child(w.name, "keys")
		if len(keys.Keys) == 0 {
			errs = append(errs, field.Required(at, "at least one is required"))
		}
		for i, k := range keys.Keys {
			errs = append(errs, k.validate(at.Index(i), w.sizes)...)
		}
	}
	if p.Identity != nil {
		set++
	}
	if set != 1 {
		errs = append(errs, field.Invalid(path, set, "exactly one of secretbox, aesgcm, aescbc and identity is to be set"))
	}
	return errs
}

func (k Key) validate(p *field.Path, sizes []int) (errs field.ErrorList) {
	if k.Name == "" {
		errs = append(errs, field.Required(p.Child("name"), ""))
	}
	secret, err := base64.StdEncoding.DecodeString(k.Secret)
	switch {
	case k.Secret == "":
		errs = append(errs, field.Required(p.Child("secret"), ""))
	case err != nil:
		errs = append(errs, field.Invalid(p.Child("secret"), "REDACTED", "is not base64"))
	case !slices.Contains(sizes, len(secret)):
		errs = append(errs, field.Invalid(p.Child("secret"), "REDACTED", fmt.Sprintf("has %d bytes, want one of %v", len(secret), sizes)))
	}
	return errs
}
