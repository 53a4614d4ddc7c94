package admission_test

import (
	"fmt"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/client"
)

func tokenVolumes(audiences ...string) []corev1.Volume {
	p := &corev1.ProjectedVolumeSource{}
	for _, a := range audiences {
		p.Sources = append(p.Sources, corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: a}})
	}
	return []corev1.Volume{{Name: "t", VolumeSource: corev1.VolumeSource{Projected: p}}}
}

// A node gets tokens for the audiences that its pod names, and for no others.
func TestTokenAudience(t *testing.T) {
	o := cluster()
	o.Put("", "pods",
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "own", UID: "1"}, Spec: corev1.PodSpec{NodeName: "n1", Volumes: tokenVolumes("", "vault")}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "none", UID: "2"}, Spec: corev1.PodSpec{NodeName: "n1"}},
	)
	c := newChain(t, o, serviceallocator.Config{})
	const refused = `serviceaccounts "default" is forbidden: audience "other" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience`
	for _, x := range []struct {
		pod       string
		uid       types.UID
		audiences []string
		want      string
	}{
		{"own", "1", nil, ""},
		{"own", "1", []string{"vault"}, ""},
		{"own", "1", []string{"other"}, refused},
		{"own", "1", []string{"vault", "other"}, `serviceaccounts "default" is forbidden: node may only request 0 or 1 audiences`},
		{"none", "2", nil, `serviceaccounts "default" is forbidden: audience "" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience`},
	} {
		r := &admission.Request{
			User: &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}},
			Verb: admission.Create, Kind: kind("", "serviceaccounts"), Subresource: "token", Namespace: "a", Name: "default",
			Object: &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
				Audiences: x.audiences, BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: x.pod, UID: x.uid},
			}},
		}
		t.Run(fmt.Sprint(x.pod, x.audiences), func(t *testing.T) { want(t, c.Admit(bg, r), x.want) })
	}
}
