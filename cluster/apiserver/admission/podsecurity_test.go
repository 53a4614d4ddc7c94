package admission_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz/authztest"
)

const psa = "pod-security.kubernetes.io/"

// secured has the namespace a with labels, each given without pod-security.kubernetes.io/.
func secured(labels map[string]string) *authztest.Objects {
	o := cluster()
	o.Put("", "namespaces", namespace("a", labels))
	return o
}

func namespace(name string, labels map[string]string) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for k, v := range labels {
		ns.Labels[psa+k] = v
	}
	return ns
}

func privileged(namespace string) *corev1.Pod {
	yes := true
	return &corev1.Pod{ObjectMeta: meta(namespace, "x"), Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "i", SecurityContext: &corev1.SecurityContext{Privileged: &yes},
	}}}}
}

const violates = `violate PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`

func TestPodSecurityLevels(t *testing.T) {
	plain := &corev1.Pod{ObjectMeta: meta("a", "x"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	const enforced = `pods "x" is forbidden: violates PodSecurity `
	const restricted = `"restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), ` +
		`unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), ` +
		`runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), ` +
		`seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`
	cases := []struct {
		name     string
		labels   map[string]string
		pod      *corev1.Pod
		want     string
		warnings []string
		audit    map[string]string
	}{
		{"without labels", nil, privileged("a"), "", nil, map[string]string{psa + "enforce-policy": "privileged:latest"}},
		{
			"baseline",
			map[string]string{"enforce": "baseline"},
			privileged("a"),
			enforced + `"baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`, nil,
			map[string]string{psa + "enforce-policy": "baseline:latest"},
		},
		{"baseline, plain", map[string]string{"enforce": "baseline"}, plain, "", nil, map[string]string{psa + "enforce-policy": "baseline:latest"}},
		{"restricted", map[string]string{"enforce": "restricted"}, plain, enforced + restricted, nil, map[string]string{psa + "enforce-policy": "restricted:latest"}},
		{
			"a version",
			map[string]string{"enforce": "restricted", "enforce-version": "v1.0"},
			plain,
			enforced + `"restricted:v1.0": runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)`, nil, // it had fewer checks
			map[string]string{psa + "enforce-policy": "restricted:v1.0"},
		},
		{"warn", map[string]string{"warn": "baseline"}, privileged("a"), "", []string{"would " + violates}, map[string]string{psa + "enforce-policy": "privileged:latest"}},
		{
			"audit",
			map[string]string{"audit": "baseline"},
			privileged("a"), "", nil,
			map[string]string{psa + "enforce-policy": "privileged:latest", psa + "audit-violations": "would " + violates},
		},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			c := newChain(t, secured(x.labels), serviceallocator.Config{})
			r := as("bob", podRequest(x.pod.DeepCopy()))
			want(t, c.Validate(bg, r), x.want)
			if !reflect.DeepEqual(r.Warnings, x.warnings) || !reflect.DeepEqual(r.AuditAnnotations, x.audit) {
				t.Errorf("warnings %q, annotations %q", r.Warnings, r.AuditAnnotations)
			}
		})
	}
}

func TestPodSecurityOfTemplatesAndUpdates(t *testing.T) {
	c := newChain(t, secured(map[string]string{"enforce": "baseline"}), serviceallocator.Config{})
	pod := privileged("a")
	pod.Spec.ServiceAccountName = "default"
	set := &appsv1.Deployment{ObjectMeta: meta("a", "d"), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: pod.Spec}}}
	r := as("bob", request("apps", "deployments", set, nil))
	want(t, c.Validate(bg, r), "")
	if !reflect.DeepEqual(r.Warnings, []string{"would " + violates}) {
		t.Errorf("warnings %q", r.Warnings)
	}
	// A pod from before the label stays, until somebody gives it another image or container.
	labelled := pod.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	want(t, c.Validate(bg, as("bob", request("", "pods", labelled, pod))), "")
	image := pod.DeepCopy()
	image.Spec.Containers[0].Image = "other"
	refused := `pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`
	want(t, c.Validate(bg, as("bob", request("", "pods", image, pod))), refused)
	debug := pod.DeepCopy()
	debug.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e"}}}
	r = as("bob", request("", "pods", debug, pod))
	r.Subresource = "ephemeralcontainers"
	want(t, c.Validate(bg, r), refused)
	r = as("bob", request("", "pods", image, pod))
	r.Subresource = "status"
	want(t, c.Validate(bg, r), "")
}

func TestPodSecurityLabels(t *testing.T) {
	o := secured(nil)
	o.Put("", "pods", privileged("a"))
	c := newChain(t, o, serviceallocator.Config{})
	judge := func(obj, old api.Object) (*admission.Request, error) {
		r := as("bob", request("", "namespaces", obj, nil))
		if old != nil {
			r = as("bob", request("", "namespaces", obj, old))
		}
		r.Kind.GroupVersionKind.Kind = "Namespace"
		return r, c.Validate(bg, r)
	}
	const invalid = `Namespace "a" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted`
	bad := namespace("a", map[string]string{"enforce": "strict"})
	_, err := judge(bad, nil)
	want(t, err, invalid)
	if !apierrors.IsInvalid(err) {
		t.Errorf("%v is not Invalid", err)
	}
	_, err = judge(bad, namespace("a", nil))
	want(t, err, invalid)
	_, err = judge(bad, bad)
	want(t, err, "")
	_, err = judge(namespace("a", map[string]string{"enforce": "baseline", "enforce-version": "1.2"}), nil)
	want(t, err, `Namespace "a" is invalid: metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "1.2": must be "latest" or "v1.x"`)
	r, err := judge(namespace("a", map[string]string{"enforce": "baseline"}), namespace("a", nil))
	want(t, err, "")
	if !reflect.DeepEqual(r.Warnings, []string{`existing pods in namespace "a" violate the new PodSecurity enforce level "baseline:latest"`, "x: privileged"}) {
		t.Errorf("warnings %q", r.Warnings)
	}
}

func TestPodSecurityOfAClass(t *testing.T) {
	o := secured(nil)
	rights(o)
	for _, name := range []string{"kube-system", "trusted"} {
		o.Put("", "namespaces", namespace(name, nil))
	}
	o.Put("", "namespaces", namespace("trusted", map[string]string{"enforce": "privileged"}))
	c := chainWith(t, o, admission.Config{PodSecurity: admission.ClassPodSecurity()})
	create := func(ns string) error {
		return c.Validate(bg, as("bob", request("", "pods", privileged(ns), nil)))
	}
	want(t, create("a"), `pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`)
	want(t, create("kube-system"), "")
	want(t, create("trusted"), "")

	// Nobody gets out of the level by a label that is only as good as its namespace.
	const refused = `namespaces "a" is forbidden: namespaces of this cluster enforce PodSecurity "baseline:latest" or more`
	low, none, high := namespace("a", map[string]string{"enforce": "privileged"}), namespace("a", nil), namespace("a", map[string]string{"enforce": "restricted"})
	old := namespace("a", map[string]string{"enforce-version": "v1.0"})
	cases := []struct {
		name     string
		obj, was *corev1.Namespace
		sub      string
		want     string
	}{
		{"made privileged", low, nil, "", refused},
		{"becomes privileged", low, none, "", refused},
		{"by way of the status", low, none, "status", refused},
		{"by way of finalize", low, none, "finalize", refused},
		{"as of an older version", old, none, "", refused},
		{"stays privileged", low, low, "", ""},
		{"made without labels", none, nil, "", ""},
		{"loses its label", none, low, "", ""},
		{"becomes restricted", high, none, "", ""},
		{"is no longer restricted", none, high, "", ""},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			for user, wanted := range map[string]string{"bob": x.want, "ann": x.want, "ops": "", "root": ""} {
				r := as(user, request("", "namespaces", x.obj, nil))
				if x.was != nil {
					r = as(user, request("", "namespaces", x.obj, x.was))
				}
				r.Subresource = x.sub
				want(t, c.Validate(bg, r), wanted)
			}
		})
	}
}

func TestPodSecurityConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := `apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline}
exemptions: {usernames: [trusted], namespaces: [free], runtimeClasses: [sandboxed]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := admission.LoadPodSecurity(file)
	if err != nil {
		t.Fatal(err)
	}
	o := secured(nil)
	o.Put("", "namespaces", namespace("free", nil))
	o.Put(nodev1.GroupName, "runtimeclasses", &nodev1.RuntimeClass{ObjectMeta: meta("", "sandboxed"), Handler: "runsc"})
	c := chainWith(t, o, admission.Config{PodSecurity: config})
	refused := `pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`
	sandboxed, class := privileged("a"), "sandboxed"
	sandboxed.Spec.RuntimeClassName = &class
	want(t, c.Validate(bg, as("bob", request("", "pods", privileged("a"), nil))), refused)
	want(t, c.Validate(bg, as("trusted", request("", "pods", privileged("a"), nil))), "")
	want(t, c.Validate(bg, as("bob", request("", "pods", privileged("free"), nil))), "")
	r := as("bob", request("", "pods", sandboxed, nil))
	want(t, c.Validate(bg, r), "")
	if r.AuditAnnotations[psa+"exempt"] != "runtimeClass" {
		t.Errorf("annotations %q", r.AuditAnnotations)
	}
	if _, err := admission.LoadPodSecurity(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is taken")
	}
}
