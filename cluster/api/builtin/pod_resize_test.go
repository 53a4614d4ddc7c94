package builtin

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/core"
)

const sized = `{spec: {containers: [
	{name: a, image: i, resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}}},
	{name: b, image: i, resources: {requests: {ephemeral-storage: 1Gi}}}],
	initContainers: [
	{name: once, image: i, resources: {requests: {cpu: 100m}}},
	{name: side, image: i, restartPolicy: Always, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}], resources: {requests: {cpu: 100m}}}]}}`

// resize does what the server does with a write to the resize subresource.
func resize(t *testing.T, old *corev1.Pod, change func(*corev1.Pod)) (*corev1.Pod, string) {
	t.Helper()
	obj := old.DeepCopy()
	change(obj)
	core.Pods.Default(obj)
	sub := core.Pods.Sub("resize")
	sub.Prepare(obj, old)
	got := ""
	for _, err := range sub.Validate(obj, old) {
		if got != "" {
			got += "\n"
		}
		got += err.Error()
	}
	return obj, got
}

func TestResize(t *testing.T) {
	set := func(l *corev1.ResourceList, name corev1.ResourceName, q string) {
		if *l == nil {
			*l = corev1.ResourceList{}
		}
		(*l)[name] = resource.MustParse(q)
	}
	a := func(p *corev1.Pod) *corev1.ResourceRequirements { return &p.Spec.Containers[0].Resources }
	for _, c := range []struct {
		name   string
		before func(*corev1.Pod)
		change func(*corev1.Pod)
		want   string
	}{
		{name: "nothing", change: func(*corev1.Pod) {}},
		{name: "more", change: func(p *corev1.Pod) { set(&a(p).Requests, "cpu", "150m"); set(&a(p).Limits, "memory", "1Gi") }},
		{name: "less", change: func(p *corev1.Pod) { set(&a(p).Requests, "cpu", "50m"); set(&a(p).Limits, "cpu", "60m") }},
		{name: "a first request", change: func(p *corev1.Pod) { set(&p.Spec.Containers[1].Resources.Requests, "cpu", "1") }},
		{name: "a first limit", change: func(p *corev1.Pod) { set(&p.Spec.Containers[1].Resources.Limits, "memory", "1Gi") }},
		{name: "a sidecar", change: func(p *corev1.Pod) { set(&p.Spec.InitContainers[1].Resources.Requests, "cpu", "1") }},
		{name: "an init container", change: func(p *corev1.Pod) { set(&p.Spec.InitContainers[0].Resources.Requests, "cpu", "1") }},
		{
			name: "more requested than the limit", change: func(p *corev1.Pod) { set(&a(p).Requests, "cpu", "1") },
			want: "spec.containers[0].resources.requests: Invalid value: \"1\": must be less than or equal to cpu limit of 200m",
		},
		{
			name: "a request less", change: func(p *corev1.Pod) { delete(a(p).Requests, "memory"); delete(a(p).Limits, "memory") },
			want: "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed\nspec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
		},
		{
			name: "a limit less", change: func(p *corev1.Pod) { delete(a(p).Limits, "cpu") },
			want: "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
		},
		{
			name: "disk", change: func(p *corev1.Pod) { set(&p.Spec.Containers[1].Resources.Requests, "ephemeral-storage", "2Gi") },
			want: "spec: Forbidden: only cpu and memory resources are mutable",
		},
		{name: "disk of a sidecar", change: func(p *corev1.Pod) {
			set(&p.Spec.InitContainers[1].Resources.Requests, "ephemeral-storage", "2Gi")
		}, want: "spec.initContainers[1]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"},
		{name: "the policy", change: func(p *corev1.Pod) {
			p.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: "cpu", RestartPolicy: corev1.RestartContainer}}
		}, want: "spec: Forbidden: only cpu and memory resources are mutable"},
		{
			name: "an init container that would restart", before: func(p *corev1.Pod) {
				p.Spec.InitContainers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: "memory", RestartPolicy: corev1.RestartContainer}}
			}, change: func(p *corev1.Pod) { set(&p.Spec.InitContainers[0].Resources.Requests, "cpu", "1") },
			want: "spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to 'RestartContainer' for non-sidecar initContainers\n" +
				"spec.initContainers[0]: Forbidden: non-sidecar init containers with a resize policy of RestartContainer cannot be resized",
		},
		{
			name: "the class", before: func(p *corev1.Pod) { p.Status.QOSClass = corev1.PodQOSBestEffort }, change: func(p *corev1.Pod) { set(&a(p).Requests, "cpu", "150m") },
			want: "spec: Invalid value: \"BestEffort\": Pod QOS Class may not change as a result of resizing",
		},
		{
			name: "another name", change: func(p *corev1.Pod) { p.Spec.Containers[1].Name = "c" },
			want: "spec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize",
		},
		{name: "another order", change: func(p *corev1.Pod) {
			p.Spec.Containers[0], p.Spec.Containers[1] = p.Spec.Containers[1], p.Spec.Containers[0]
		}, want: "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize\nspec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize"},
		{
			name: "one container less", change: func(p *corev1.Pod) { p.Spec.Containers = p.Spec.Containers[:1] },
			want: "spec.containers: Forbidden: containers may not be added or removed on resize",
		},
		{
			name: "one init container less", change: func(p *corev1.Pod) { p.Spec.InitContainers = p.Spec.InitContainers[:1] },
			want: "spec.initContainers: Forbidden: initContainers may not be added or removed on resize",
		},
		{
			name: "of a static pod", before: func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} },
			change: func(p *corev1.Pod) { set(&a(p).Requests, "cpu", "150m") }, want: "[]: Forbidden: static pods cannot be resized",
		},
		{
			name: "on windows", before: func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} },
			change: func(p *corev1.Pod) { set(&a(p).Requests, "cpu", "150m") }, want: "[]: Forbidden: windows pods cannot be resized",
		},
		{
			name: "on a node without support", before: func(p *corev1.Pod) {
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "a", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
			}, change: func(p *corev1.Pod) { set(&a(p).Requests, "cpu", "150m") },
			want: "spec: Forbidden: Pod running on node without support for resize",
		},
		{name: "the pod as a whole", change: func(p *corev1.Pod) {
			p.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("2")}}
		}, want: "spec.resources: Forbidden: resources of the pod as a whole cannot be resized, only those of its containers"},
	} {
		old := read(t, core.Pods, sized).(*corev1.Pod)
		create(core.Pods, old)
		old.ResourceVersion = "1"
		if c.before != nil {
			c.before(old)
		}
		obj, got := resize(t, old, c.change)
		if got != c.want {
			t.Errorf("%s: \n%s\nwant\n%s", c.name, got, c.want)
		}
		generation := int64(2)
		if c.name == "nothing" {
			generation = 1
		}
		if obj.Generation != generation {
			t.Errorf("%s: generation %d, want %d", c.name, obj.Generation, generation)
		}
	}
}

// The subresource ignores all other fields.
func TestResizeIgnoresOtherFields(t *testing.T) {
	old := read(t, core.Pods, sized).(*corev1.Pod)
	create(core.Pods, old)
	old.ResourceVersion = "1"
	obj, errs := resize(t, old, func(p *corev1.Pod) {
		p.Labels = map[string]string{"not": "this way"}
		p.Spec.Containers[0].Image, p.Spec.NodeName, p.Status.Phase = "other", "n", corev1.PodRunning
		p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("150m")
	})
	if errs != "" || len(obj.Labels) != 0 || obj.Spec.Containers[0].Image != "i" || obj.Spec.NodeName != "" || obj.Status.Phase != corev1.PodPending {
		t.Errorf("%s%+v", errs, obj)
	}
	if got := obj.Spec.Containers[0].Resources.Requests["cpu"]; got.String() != "150m" {
		t.Errorf("cpu %s", got.String())
	}
}

// An update of the pod itself cannot resize it.
func TestUpdateDoesNotResize(t *testing.T) {
	old := read(t, core.Pods, sized).(*corev1.Pod)
	create(core.Pods, old)
	old.ResourceVersion = "1"
	obj := old.DeepCopy()
	obj.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("150m")
	matches(t, update(core.Pods, obj, old), "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`...")
}

func TestInvalidResizePolicies(t *testing.T) {
	c := "spec.containers[0].resizePolicy"
	runInvalid(t, core.Pods, []invalidCase{
		{"both kinds", inContainer(`resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: memory, restartPolicy: RestartContainer}]`), ""},
		{"disk", inContainer(`resizePolicy: [{resourceName: ephemeral-storage, restartPolicy: NotRequired}]`), c + `: Unsupported value: "ephemeral-storage": supported values: "cpu", "memory"`},
		{"no resource", inContainer(`resizePolicy: [{restartPolicy: NotRequired}]`), c + ": Required value"},
		{"no policy", inContainer(`resizePolicy: [{resourceName: cpu}]`), c + ": Required value"},
		{"policy", inContainer(`resizePolicy: [{resourceName: cpu, restartPolicy: x}]`), c + `: Unsupported value: "x": supported values: "NotRequired", "RestartContainer"`},
		{"twice", inContainer(`resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: cpu, restartPolicy: NotRequired}]`), c + `[1]: Duplicate value: "cpu"`},
		{
			"where nothing restarts", `{spec: {restartPolicy: Never, containers: [{name: c, image: i, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]}]}}`,
			c + `: Invalid value: "RestartContainer": must be 'NotRequired' when pod ` + "`restartPolicy` is 'Never'",
		},
		{
			"of an init container", `{spec: {initContainers: [{name: d, image: i, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]}]}}`,
			`spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: "RestartContainer": must not be set to 'RestartContainer' for non-sidecar initContainers`,
		},
	})
}
