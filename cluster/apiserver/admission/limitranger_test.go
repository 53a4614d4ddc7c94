package admission_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz/authztest"
)

func amounts(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for _, p := range pairs {
		name, q, _ := strings.Cut(p, "=")
		l[corev1.ResourceName(name)] = resource.MustParse(q)
	}
	return l
}

func limited(items ...corev1.LimitRangeItem) *authztest.Objects {
	o := cluster()
	o.Put("", "limitranges", &corev1.LimitRange{ObjectMeta: meta("a", "limits"), Spec: corev1.LimitRangeSpec{Limits: items}})
	return o
}

func asks(name string, requests, limits corev1.ResourceList) corev1.Container {
	return corev1.Container{Name: name, Image: "nginx", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}
}

func podOf(containers ...corev1.Container) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{Containers: containers}}
}

// TestLimitRangeTimesContainers: what a namespace gives to each container, and how many
// containers a pod has, multiply.
func TestLimitRangeTimesContainers(t *testing.T) {
	defaults := corev1.ResourceList{}
	for i := range 2000 {
		defaults[corev1.ResourceName(fmt.Sprint("example.com/r", i))] = resource.MustParse("1")
	}
	c := newChain(t, limited(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Default: defaults}), serviceallocator.Config{})
	pod := podOf(slices.Repeat([]corev1.Container{asks("c", nil, nil)}, 1000)...)
	r := podRequest(pod)
	r.Kind = core.Pods
	const refusal = `pods "p" is forbidden: the 2001 limits of the namespace are too many to compare with those of 1000 containers`
	want(t, c.Admit(bg, r), refusal)
	want(t, c.Validate(bg, r), refusal)
}

func TestLimitRangeDefaults(t *testing.T) {
	c := newChain(t, limited(corev1.LimitRangeItem{
		Type: corev1.LimitTypeContainer, Default: amounts("cpu=500m", "memory=128Mi"), DefaultRequest: amounts("cpu=100m", "memory=64Mi"),
	}), serviceallocator.Config{})
	pod := podOf(asks("bare", nil, nil), asks("own", amounts("cpu=200m"), amounts("cpu=1", "memory=1Gi")))
	pod.Spec.InitContainers = []corev1.Container{asks("init", amounts("cpu=1", "memory=1Gi"), amounts("cpu=1", "memory=1Gi"))}
	r := podRequest(pod)
	r.Kind = core.Pods
	want(t, c.Admit(bg, r), "")
	for i, resources := range []struct{ requests, limits corev1.ResourceList }{
		{amounts("cpu=100m", "memory=64Mi"), amounts("cpu=500m", "memory=128Mi")},
		{amounts("cpu=200m", "memory=64Mi"), amounts("cpu=1", "memory=1Gi")},
	} {
		got := pod.Spec.Containers[i].Resources
		if !equal(got.Requests, resources.requests) || !equal(got.Limits, resources.limits) {
			t.Errorf("container %d has %v", i, got)
		}
	}
	note := "LimitRanger plugin set: cpu, memory request for container bare; cpu, memory limit for container bare; memory request for container own"
	if got := pod.Annotations["kubernetes.io/limit-ranger"]; got != note {
		t.Errorf("note\n  %s\nwant\n  %s", got, note)
	}
	if pod.Status.QOSClass != corev1.PodQOSBurstable {
		t.Errorf("class of service %s", pod.Status.QOSClass)
	}
	full := podOf(asks("c", amounts("cpu=1", "memory=1"), amounts("cpu=1", "memory=1")))
	want(t, c.Admit(bg, podRequest(full)), "")
	if len(full.Annotations) != 0 {
		t.Errorf("a pod that says everything got %v", full.Annotations)
	}
}

func equal(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for n, q := range a {
		if q.Cmp(b[n]) != 0 {
			return false
		}
	}
	return true
}

func TestLimitRangeBounds(t *testing.T) {
	container := func(f func(*corev1.LimitRangeItem)) corev1.LimitRangeItem {
		item := corev1.LimitRangeItem{Type: corev1.LimitTypeContainer}
		f(&item)
		return item
	}
	min := container(func(i *corev1.LimitRangeItem) { i.Min = amounts("cpu=100m") })
	max := container(func(i *corev1.LimitRangeItem) { i.Max = amounts("cpu=1") })
	ratio := container(func(i *corev1.LimitRangeItem) { i.MaxLimitRequestRatio = amounts("cpu=2") })
	both := container(func(i *corev1.LimitRangeItem) { i.Min, i.Max = amounts("cpu=100m"), amounts("memory=1Gi") })
	whole := corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: amounts("cpu=2"), Min: amounts("memory=6Mi")}
	one := func(requests, limits corev1.ResourceList) *corev1.Pod { return podOf(asks("c", requests, limits)) }
	for _, tt := range []struct {
		name string
		item corev1.LimitRangeItem
		pod  *corev1.Pod
		want string
	}{
		{"enough", min, one(amounts("cpu=100m"), nil), ""},
		{"no request", min, one(nil, nil), "minimum cpu usage per Container is 100m.  No request is specified"},
		{"too small a request", min, one(amounts("cpu=50m"), nil), "minimum cpu usage per Container is 100m, but request is 50m"},
		{"too small a limit", min, one(amounts("cpu=100m"), amounts("cpu=99m")), "minimum cpu usage per Container is 100m, but limit is 99m"},
		{"no limit", max, one(amounts("cpu=1"), nil), "maximum cpu usage per Container is 1.  No limit is specified"},
		{"too big a limit", max, one(nil, amounts("cpu=1500m")), "maximum cpu usage per Container is 1, but limit is 1500m"},
		{"too big a request", max, one(amounts("cpu=2"), amounts("cpu=1")), "maximum cpu usage per Container is 1, but request is 2"},
		{"in proportion", ratio, one(amounts("cpu=500m"), amounts("cpu=1")), ""},
		{"out of proportion", ratio, one(amounts("cpu=200m"), amounts("cpu=1")), "cpu max limit to request ratio per Container is 2, but provided ratio is 5.000000"},
		{"no request for a ratio", ratio, one(nil, amounts("cpu=1")), "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"},
		{"no limit for a ratio", ratio, one(amounts("cpu=1"), nil), "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"},
		{"two things wrong", both, one(nil, nil), "[minimum cpu usage per Container is 100m.  No request is specified, maximum memory usage per Container is 1Gi.  No limit is specified]"},
		{
			"the pod as a whole", whole, podOf(asks("c", amounts("memory=3Mi"), amounts("cpu=1")), asks("d", amounts("memory=3Mi"), amounts("cpu=1500m"))),
			"maximum cpu usage per Pod is 2, but limit is 2500m",
		},
		{"a pod just within", whole, podOf(asks("c", amounts("memory=3Mi"), amounts("cpu=1")), asks("d", amounts("memory=3Mi"), amounts("cpu=1"))), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newChain(t, limited(tt.item), serviceallocator.Config{})
			text := tt.want
			if text != "" {
				text = `pods "p" is forbidden: ` + text
			}
			want(t, c.Validate(bg, podRequest(tt.pod)), text)
			update := podRequest(tt.pod)
			update.Verb, update.Old = admission.Update, tt.pod
			want(t, c.Validate(bg, update), "") // what runs is not judged again
		})
	}
}

func TestLimitRangeOfClaims(t *testing.T) {
	c := newChain(t, limited(corev1.LimitRangeItem{
		Type: corev1.LimitTypePersistentVolumeClaim, Min: amounts("storage=1Gi"), Max: amounts("storage=4Gi"),
	}), serviceallocator.Config{})
	for size, text := range map[string]string{
		"2Gi":   "",
		"512Mi": "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi",
		"5Gi":   "maximum storage usage per PersistentVolumeClaim is 4Gi, but request is 5Gi",
	} {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta("a", "c")}
		claim.Spec.Resources.Requests = amounts("storage=" + size)
		if text != "" {
			text = `persistentvolumeclaims "c" is forbidden: ` + text
		}
		for _, verb := range []string{admission.Create, admission.Update} {
			want(t, c.Validate(bg, &admission.Request{Verb: verb, Kind: kind("", "persistentvolumeclaims"), Namespace: "a", Name: "c", Object: claim}), text)
		}
	}
}
