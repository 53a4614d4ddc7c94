package admission_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/admission/serviceallocator"
)

// An account that says so keeps its pods to its own secrets, containers for debugging too.
func TestMountableSecrets(t *testing.T) {
	o := cluster()
	o.Put("", "serviceaccounts", &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "kept", Annotations: map[string]string{"kubernetes.io/enforce-mountable-secrets": "true"}},
		Secrets:    []corev1.ObjectReference{{Name: "own"}}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "reg"}},
	})
	c := newChain(t, o, serviceallocator.Config{})
	key := func(name string) corev1.EnvVarSource {
		return corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: local(name)}}
	}
	from := func(name string) corev1.EnvFromSource {
		return corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local(name)}}
	}
	const other = ` secret.secretName="other" is not allowed because service account kept does not reference that secret`
	cases := []struct {
		name, want string
		change     func(*corev1.PodSpec)
	}{
		{"nothing", "", func(*corev1.PodSpec) {}},
		{"own", "", env(key("own"))},
		{"volume", `volume with secret.secretName="other" is not allowed because service account kept does not reference that secret`, volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "other"}})},
		{"env", `container c with envVar X referencing` + other, env(key("other"))},
		{"envFrom", `container c with envFrom referencing` + other, envFrom(from("other"))},
		{"init", `init container i with envFrom referencing` + other, func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Name: "i", EnvFrom: []corev1.EnvFromSource{from("other")}}}
		}},
		{"pull secret", `imagePullSecrets[0].name="other" is not allowed because service account kept does not reference that imagePullSecret`, func(s *corev1.PodSpec) {
			s.ImagePullSecrets = []corev1.LocalObjectReference{local("other")}
		}},
	}
	for _, x := range cases {
		for account, wanted := range map[string]string{"kept": x.want, "default": ""} {
			t.Run(x.name+" as "+account, func(t *testing.T) {
				pod := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
				x.change(&pod.Spec)
				if wanted != "" {
					wanted = `pods "p" is forbidden: ` + wanted
				}
				want(t, c.Admit(bg, as("bob", podRequest(pod))), wanted)
			})
		}
	}
	debug := func(account, secret string) error {
		pod := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
		next := pod.DeepCopy()
		next.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "e", EnvFrom: []corev1.EnvFromSource{from(secret)},
		}}}
		r := as("bob", request("", "pods", next, pod))
		r.Subresource = "ephemeralcontainers"
		return c.Validate(bg, r)
	}
	want(t, debug("kept", "other"), `pods "p" is forbidden: ephemeral container e with envFrom referencing`+other)
	want(t, debug("kept", "own"), "")
	want(t, debug("default", "other"), "")
}
