package admission

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

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
