package admission

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilrand "k8s.io/apimachinery/pkg/util/rand"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/apiserver/authz"
)

const (
	defaultAccount = "default"
	// tokenPath is where a container finds its account's token.
	tokenPath     = "/var/run/secrets/kubernetes.io/serviceaccount"
	tokenVolume   = "kube-api-access-"
	tokenSeconds  = 3607 // upstream's mark of a token that it put in itself
	rootCAMap     = "kube-root-ca.crt"
	accountWait   = 2 * time.Second
	accountPeriod = 50 * time.Millisecond
)

var serviceAccounts = schema.GroupResource{Resource: "serviceaccounts"}

// ServiceAccount gives pods their account, and bounds them to its secrets where it enforces
// that.
type ServiceAccount struct{ objects authz.Objects }

// Admit gives a new pod an account, and its containers the account's token, the cluster's
// certificate and the namespace's name as files.
func (p *ServiceAccount) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Verb != Create || !r.is("pods", "") {
		return nil
	}
	if core.IsMirrorPod(pod) {
		return mirrorWithoutAccount(r, pod)
	}
	r.changed("ServiceAccount")
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultAccount
	}
	pod.Spec.DeprecatedServiceAccount = pod.Spec.ServiceAccountName
	sa, err := p.account(ctx, r.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return r.forbidden("error looking up service account %s/%s: %w", r.Namespace, pod.Spec.ServiceAccountName, err)
	}
	if automount(pod, sa) {
		mountToken(&pod.Spec)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = slices.Clone(sa.ImagePullSecrets)
	}
	if enforces(sa) {
		if err := mountable(pod, sa); err != nil {
			return r.forbidden("%w", err)
		}
	}
	return nil
}

// mirrorWithoutAccount refuses a mirror pod that refers to a secret, whoever creates it.
func mirrorWithoutAccount(r *Request, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return r.forbidden("a mirror pod may not reference service accounts")
	}
	if !podfacts.VisitSecretNames(pod, func(string) bool { return false }) {
		return r.forbidden("a mirror pod may not reference secrets")
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.ServiceAccountToken != nil }) {
			return r.forbidden("a mirror pod may not use ServiceAccountToken volume projections")
		}
	}
	return nil
}

// account reads an account. The default one of a new namespace is made by a
// controller, which gets a moment for it.
func (p *ServiceAccount) account(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	end := time.Now()
	if name == defaultAccount {
		end = end.Add(accountWait)
	}
	for fresh := false; ; fresh = true {
		o, err := p.objects.Get(ctx, serviceAccounts, namespace, name, fresh)
		if err == nil {
			sa, ok := o.(*corev1.ServiceAccount)
			if !ok {
				return nil, fmt.Errorf("unexpected object %T", o)
			}
			return sa, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, err
		}
		if !fresh {
			continue
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("serviceaccount %q not found", name)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(accountPeriod):
		}
	}
}

func automount(pod *corev1.Pod, sa *corev1.ServiceAccount) bool {
	if v := pod.Spec.AutomountServiceAccountToken; v != nil {
		return *v
	}
	if v := sa.AutomountServiceAccountToken; v != nil {
		return *v
	}
	return true
}

// mountToken mounts the token volume into every container that has nothing of
// its own at that path; a volume that an earlier pass made is used again.
func mountToken(spec *corev1.PodSpec) {
	name, have := "", false
	for _, v := range spec.Volumes {
		if strings.HasPrefix(v.Name, tokenVolume) && v.Projected != nil {
			name, have = v.Name, true
			break
		}
	}
	if !have {
		name = tokenVolume + utilrand.String(5)
	}
	needed := false
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			if c := &containers[i]; !mountsAt(c, tokenPath) {
				c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenPath})
				needed = true
			}
		}
	}
	if needed && !have {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: tokenFiles()}})
	}
}

func mountsAt(c *corev1.Container, path string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
}

func tokenFiles() *corev1.ProjectedVolumeSource {
	mode, seconds := int32(corev1.ProjectedVolumeSourceDefaultMode), int64(tokenSeconds)
	return &corev1.ProjectedVolumeSource{
		DefaultMode: &mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &seconds}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: rootCAMap},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path:     "namespace",
				FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}
}

// enforceMountable is the annotation of an account whose pods may name only its secrets.
const enforceMountable = "kubernetes.io/enforce-mountable-secrets"

func enforces(sa *corev1.ServiceAccount) bool {
	on, err := strconv.ParseBool(sa.Annotations[enforceMountable])
	return err == nil && on
}

// Validate restricts ephemeral containers to the secrets of the pod's account, as the other
// containers.
func (p *ServiceAccount) Validate(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Verb != Update || !r.is("pods", "ephemeralcontainers") {
		return nil
	}
	if pod.Spec.ServiceAccountName == "" {
		return r.forbidden("no service account specified for pod %s/%s", r.Namespace, pod.Name)
	}
	sa, err := p.account(ctx, r.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return r.forbidden("error looking up service account %s/%s: %w", r.Namespace, pod.Spec.ServiceAccountName, err)
	}
	if !enforces(sa) {
		return nil
	}
	for i := range pod.Spec.EphemeralContainers {
		if err := mountableBy("ephemeral container", (*corev1.Container)(&pod.Spec.EphemeralContainers[i].EphemeralContainerCommon), sa); err != nil {
			return r.forbidden("%w", err)
		}
	}
	return nil
}

// mountable returns an error that names the secret of a new pod which its account does not
// reference; as upstream's limitSecretReferences.
func mountable(pod *corev1.Pod, sa *corev1.ServiceAccount) error {
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && !references(sa, v.Secret.SecretName) {
			return fmt.Errorf("volume with secret.secretName=%q is not allowed because service account %s does not reference that secret", v.Secret.SecretName, sa.Name)
		}
	}
	for i := range pod.Spec.InitContainers {
		if err := mountableBy("init container", &pod.Spec.InitContainers[i], sa); err != nil {
			return err
		}
	}
	for i := range pod.Spec.Containers {
		if err := mountableBy("container", &pod.Spec.Containers[i], sa); err != nil {
			return err
		}
	}
	for i, s := range pod.Spec.ImagePullSecrets {
		if !slices.Contains(sa.ImagePullSecrets, s) {
			return fmt.Errorf("imagePullSecrets[%d].name=%q is not allowed because service account %s does not reference that imagePullSecret", i, s.Name, sa.Name)
		}
	}
	return nil
}

func mountableBy(what string, c *corev1.Container, sa *corev1.ServiceAccount) error {
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && !references(sa, e.ValueFrom.SecretKeyRef.Name) {
			return fmt.Errorf("%s %s with envVar %s referencing secret.secretName=%q is not allowed because service account %s does not reference that secret",
				what, c.Name, e.Name, e.ValueFrom.SecretKeyRef.Name, sa.Name)
		}
	}
	for _, e := range c.EnvFrom {
		if e.SecretRef != nil && !references(sa, e.SecretRef.Name) {
			return fmt.Errorf("%s %s with envFrom referencing secret.secretName=%q is not allowed because service account %s does not reference that secret",
				what, c.Name, e.SecretRef.Name, sa.Name)
		}
	}
	return nil
}

func references(sa *corev1.ServiceAccount, secret string) bool {
	return slices.ContainsFunc(sa.Secrets, func(r corev1.ObjectReference) bool { return r.Name == secret })
}
