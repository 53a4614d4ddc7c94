package admission

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podsecurityadmission "k8s.io/pod-security-admission/admission"
	podsecurityconfig "k8s.io/pod-security-admission/admission/api"
	"k8s.io/pod-security-admission/admission/api/load"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/metrics"

	checks "wheelhouse/cluster/api/podsecurity"
	"wheelhouse/cluster/apiserver/authz"
)

// PodSecurityConfig is upstream's PodSecurityConfiguration: the levels of namespaces
// without labels, and who is exempt.
type PodSecurityConfig = podsecurityconfig.PodSecurityConfiguration

// LoadPodSecurity reads a PodSecurityConfiguration from a file. Without a file it is
// upstream's default: privileged, without exemptions.
func LoadPodSecurity(file string) (*PodSecurityConfig, error) {
	c, err := load.LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of PodSecurity: %w", err)
	}
	return c, nil
}

// ClassPodSecurity returns the configuration for clusters whose users are not trusted with the
// nodes: baseline everywhere but in the cluster's own namespaces.
func ClassPodSecurity() *PodSecurityConfig {
	const level, version = string(podsecurity.LevelBaseline), podsecurity.VersionLatest
	return &PodSecurityConfig{
		Defaults: podsecurityconfig.PodSecurityDefaults{
			Enforce: level, EnforceVersion: version, Audit: level, AuditVersion: version, Warn: level, WarnVersion: version,
		},
		Exemptions: podsecurityconfig.PodSecurityExemptions{
			Namespaces: []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease},
		},
	}
}

// PodSecurity refuses pods that violate the level of their namespace, and invalid labels. It
// only warns about objects from which controllers make pods. Upstream's library decides.
type PodSecurity struct {
	rights
	delegate *podsecurityadmission.Admission
	defaults podsecurity.Policy
}

func newPodSecurity(c *PodSecurityConfig, objects authz.Objects, r rights) (*PodSecurity, error) {
	if c == nil {
		var err error
		if c, err = LoadPodSecurity(""); err != nil {
			return nil, err
		}
	}
	evaluator, err := checks.NewEvaluator()
	if err != nil {
		return nil, err
	}
	p := &PodSecurity{rights: r, delegate: &podsecurityadmission.Admission{
		Configuration: c, Evaluator: evaluator, Metrics: uncounted{}, PodSpecExtractor: podsecurityadmission.DefaultPodSpecExtractor{},
		NamespaceGetter: clusterState{objects}, PodLister: clusterState{objects},
	}}
	if err := p.delegate.CompleteConfiguration(); err != nil {
		return nil, fmt.Errorf("configuration of PodSecurity: %w", err)
	}
	if err := p.delegate.ValidateConfiguration(); err != nil {
		return nil, fmt.Errorf("configuration of PodSecurity: %w", err)
	}
	p.defaults, err = podsecurityconfig.ToPolicy(c.Defaults)
	return p, err
}

// Validate implements Validator.
func (p *PodSecurity) Validate(ctx context.Context, r *Request) error {
	if r.Verb != Create && r.Verb != Update {
		return nil
	}
	namespace, isNamespace := r.Namespace, r.Kind.Group == "" && r.Kind.Plural == "namespaces"
	if isNamespace {
		namespace = r.Name // as upstream's requests for namespaces have it
	} else if r.Subresource == "status" || !p.delegate.PodSpecExtractor.HasPodSpec(r.resource()) {
		return nil
	}
	operation := admissionv1.Create
	if r.Verb == Update {
		operation = admissionv1.Update
	}
	result := p.delegate.Validate(ctx, &podsecurity.AttributesRecord{
		Name: r.Name, Namespace: namespace, Kind: r.Kind.GroupVersionKind, Resource: r.resource().WithVersion(r.Kind.Version),
		Subresource: r.Subresource, Operation: operation, Object: r.Object, OldObject: r.Old, Username: userName(r),
	})
	r.Warnings = append(r.Warnings, result.Warnings...)
	for k, v := range result.AuditAnnotations {
		r.annotate(podsecurity.AuditAnnotationPrefix+k, v)
	}
	if !result.Allowed {
		err := r.forbidden("Not allowed by PodSecurity")
		overlay(&err.ErrStatus, result.Result)
		return err
	}
	if isNamespace {
		return p.podSecurityLevel(ctx, r)
	}
	return nil
}

func userName(r *Request) string {
	if r.User == nil {
		return ""
	}
	return r.User.Name
}

// overlay sets what the library reports about a refusal.
func overlay(status *metav1.Status, by *metav1.Status) {
	if by == nil {
		return
	}
	if by.Message != "" {
		status.Message = by.Message
	}
	if by.Reason != "" {
		status.Reason = by.Reason
	}
	if by.Details != nil {
		status.Details = by.Details
	}
	if by.Code != 0 {
		status.Code = by.Code
	}
}

// podSecurityLevel demands the right for a namespace below the cluster's default level, where
// that is not privileged. To create or label namespaces is not enough.
func (p *PodSecurity) podSecurityLevel(ctx context.Context, r *Request) error {
	ns, ok := r.Object.(*corev1.Namespace)
	if !ok || p.defaults.Enforce.Level == podsecurity.LevelPrivileged {
		return nil
	}
	level := func(n *corev1.Namespace) podsecurity.LevelVersion {
		effective, _ := p.delegate.PolicyToEvaluate(n.Labels) // invalid labels were refused already
		return effective.Enforce
	}
	now, before := level(ns), p.defaults.Enforce
	if old, ok := r.Old.(*corev1.Namespace); ok {
		before = level(old)
	}
	if now == before || now == p.defaults.Enforce {
		return nil
	}
	if now.Version == p.defaults.Enforce.Version && podsecurity.CompareLevels(now.Level, p.defaults.Enforce.Level) >= 0 {
		return nil
	}
	return p.demand(ctx, r, podSecurityRight, "namespaces of this cluster enforce PodSecurity %q or more", p.defaults.Enforce.String())
}

// clusterState reads what the library needs.
type clusterState struct{ objects authz.Objects }

func (s clusterState) GetNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return find[*corev1.Namespace](ctx, s.objects, namespaces, "", name)
}

func (s clusterState) ListPods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	return list[*corev1.Pod](ctx, s.objects, podsResource, namespace, false)
}

// uncounted keeps no metrics.
type uncounted struct{}

func (uncounted) RecordEvaluation(metrics.Decision, podsecurity.LevelVersion, metrics.Mode, podsecurity.Attributes) {
}
func (uncounted) RecordExemption(podsecurity.Attributes)           {}
func (uncounted) RecordError(fatal bool, _ podsecurity.Attributes) {}
