package quota_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/quota"
)

var now = time.Unix(1_000_000, 0)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for _, p := range pairs {
		name, q, _ := strings.Cut(p, "=")
		l[corev1.ResourceName(name)] = resource.MustParse(q)
	}
	return l
}

func pod(edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	for _, e := range edit {
		e(p)
	}
	return p
}

func asks(requests, limits corev1.ResourceList) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: requests, Limits: limits}
	}
}

func service(kind corev1.ServiceType, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{Spec: corev1.ServiceSpec{Type: kind, Ports: ports}}
}

func TestOf(t *testing.T) {
	off, class := false, "gold"
	balanced := service(corev1.ServiceTypeLoadBalancer, corev1.ServicePort{}, corev1.ServicePort{NodePort: 30001})
	few := balanced.DeepCopy()
	few.Spec.AllocateLoadBalancerNodePorts = &off
	claim := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: &class, Resources: corev1.VolumeResourceRequirements{Requests: list("storage=1Gi")},
	}}
	grace := int64(30)
	gone := pod(asks(list("cpu=1"), nil), func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: now.Add(-31 * time.Second)}, &grace
	})
	for _, tt := range []struct {
		name     string
		resource string
		object   runtime.Object
		want     corev1.ResourceList
	}{
		{"a bare pod", "pods", pod(), list("count/pods=1", "pods=1")},
		{
			"a pod", "pods", pod(asks(list("cpu=1", "memory=1Gi", "example.com/gpu=1", "ephemeral-storage=1"), list("cpu=2", "memory=2Gi", "example.com/gpu=1"))),
			list("count/pods=1", "pods=1", "cpu=1", "requests.cpu=1", "memory=1Gi", "requests.memory=1Gi", "limits.cpu=2", "limits.memory=2Gi",
				"requests.example.com/gpu=1", "ephemeral-storage=1", "requests.ephemeral-storage=1"),
		},
		{"the biggest init container", "pods", pod(asks(list("cpu=1"), nil), func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list("cpu=3")}}}
		}), list("count/pods=1", "pods=1", "cpu=3", "requests.cpu=3")},
		{"a pod that has ended", "pods", pod(asks(list("cpu=1"), nil), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), list("count/pods=1")},
		{"a pod that should be gone", "pods", gone, list("count/pods=1")},
		{"a service", "services", service(corev1.ServiceTypeClusterIP, corev1.ServicePort{}), list("count/services=1", "services=1", "services.nodeports=0", "services.loadbalancers=0")},
		{"node ports", "services", service(corev1.ServiceTypeNodePort, corev1.ServicePort{}, corev1.ServicePort{}), list("count/services=1", "services=1", "services.nodeports=2", "services.loadbalancers=0")},
		{"a load balancer", "services", balanced, list("count/services=1", "services=1", "services.nodeports=2", "services.loadbalancers=1")},
		{"one without node ports of its own", "services", few, list("count/services=1", "services=1", "services.nodeports=1", "services.loadbalancers=1")},
		{
			"a claim", "persistentvolumeclaims", claim, list("count/persistentvolumeclaims=1", "persistentvolumeclaims=1", "requests.storage=1Gi",
				"gold.storageclass.storage.k8s.io/persistentvolumeclaims=1", "gold.storageclass.storage.k8s.io/requests.storage=1Gi"),
		},
		{"a secret", "secrets", nil, list("count/secrets=1", "secrets=1")},
		{"a quota", "resourcequotas", nil, list("count/resourcequotas=1", "resourcequotas=1")},
		{"a deployment", "deployments.apps", nil, list("count/deployments.apps=1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := schema.ParseGroupResource(tt.resource)
			got := quota.Of(r, tt.object, now)
			if !equality.Semantic.DeepEqual(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
			for n := range got {
				if c := quota.Counted(n); c != r {
					t.Errorf("%s is looked for among %s", n, c)
				}
			}
		})
	}
}

func TestMatches(t *testing.T) {
	deadline := int64(9)
	scope := func(s corev1.ResourceQuotaScope) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{Scopes: []corev1.ResourceQuotaScope{s}}
	}
	class := func(op corev1.ScopeSelectorOperator, values ...string) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
			{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: op, Values: values},
		}}}
	}
	attributes := func(op corev1.ScopeSelectorOperator, values ...string) corev1.ResourceQuotaSpec {
		s := class(op, values...)
		s.ScopeSelector.MatchExpressions[0].ScopeName = corev1.ResourceQuotaScopeVolumeAttributesClass
		return s
	}
	claimOf := func(asked, has, gets string) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{}
		c.Spec.VolumeAttributesClassName, c.Status.CurrentVolumeAttributesClassName = &asked, &has
		c.Status.ModifyVolumeStatus = &corev1.ModifyVolumeStatus{TargetVolumeAttributesClassName: gets}
		return c
	}
	high := func(p *corev1.Pod) { p.Spec.PriorityClassName = "high" }
	ends := func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = &deadline }
	across := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
			{PodAffinityTerm: corev1.PodAffinityTerm{Namespaces: []string{"other"}}},
		}}}
	}
	for _, tt := range []struct {
		name   string
		spec   corev1.ResourceQuotaSpec
		object runtime.Object
		want   bool
	}{
		{"no scope", corev1.ResourceQuotaSpec{}, service(corev1.ServiceTypeClusterIP), true},
		{"a scope is for pods", scope(corev1.ResourceQuotaScopeBestEffort), service(corev1.ServiceTypeClusterIP), false},
		{"best effort", scope(corev1.ResourceQuotaScopeBestEffort), pod(), true},
		{"better effort", scope(corev1.ResourceQuotaScopeBestEffort), pod(asks(nil, list("memory=1"))), false},
		{"not best effort", scope(corev1.ResourceQuotaScopeNotBestEffort), pod(asks(list("cpu=1"), nil)), true},
		{"terminating", scope(corev1.ResourceQuotaScopeTerminating), pod(ends), true},
		{"indefinitely", scope(corev1.ResourceQuotaScopeTerminating), pod(), false},
		{"not terminating", scope(corev1.ResourceQuotaScopeNotTerminating), pod(), true},
		{"any class", scope(corev1.ResourceQuotaScopePriorityClass), pod(high), true},
		{"no class", scope(corev1.ResourceQuotaScopePriorityClass), pod(), false},
		{"in", class(corev1.ScopeSelectorOpIn, "low", "high"), pod(high), true},
		{"in others", class(corev1.ScopeSelectorOpIn, "low"), pod(high), false},
		{"not in", class(corev1.ScopeSelectorOpNotIn, "low"), pod(high), true},
		{"does not exist", class(corev1.ScopeSelectorOpDoesNotExist), pod(), true},
		{"affinity across namespaces", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), pod(across), true},
		{"no affinity", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), pod(), false},
		{"claim of attributes", attributes(corev1.ScopeSelectorOpIn, "gold"), claimOf("gold", "", ""), true},
		{"claim that had them", attributes(corev1.ScopeSelectorOpIn, "gold"), claimOf("silver", "gold", ""), true},
		{"claim that may get them", attributes(corev1.ScopeSelectorOpIn, "gold"), claimOf("silver", "", "gold"), true},
		{"claim of others", attributes(corev1.ScopeSelectorOpIn, "gold"), claimOf("silver", "", ""), false},
		{"claim of none", attributes(corev1.ScopeSelectorOpDoesNotExist), claimOf("", "", ""), true},
		{"claim in a scope of pods", scope(corev1.ResourceQuotaScopeNotTerminating), claimOf("", "", ""), false},
		{"pod in a scope of claims", attributes(corev1.ScopeSelectorOpDoesNotExist), pod(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := quota.Matches(&corev1.ResourceQuota{Spec: tt.spec}, tt.object); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestExceeded(t *testing.T) {
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Status: corev1.ResourceQuotaStatus{
		Hard: list("pods=2", "requests.cpu=1"), Used: list("pods=2", "requests.cpu=400m"),
	}}
	for _, tt := range []struct {
		asked corev1.ResourceList
		want  string
	}{
		{list("requests.cpu=600m", "memory=1Ti"), ""},
		{list("pods=1", "requests.cpu=600m"), "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"},
		{list("pods=1", "requests.cpu=601m"), "exceeded quota: q, requested: pods=1,requests.cpu=601m, used: pods=2,requests.cpu=400m, limited: pods=2,requests.cpu=1"},
	} {
		err := quota.Exceeded(q, tt.asked)
		if (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("%v: got %v, want %s", tt.asked, err, tt.want)
		}
	}
}

func TestUnspecified(t *testing.T) {
	p := pod(asks(list("cpu=1"), list("cpu=1")))
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "a"})
	for hard, want := range map[string]string{
		"pods=1":          "",
		"requests.cpu=1":  "must specify requests.cpu for: a",
		"limits.memory=1": "must specify limits.memory for: a,c",
	} {
		err := quota.Unspecified(list(hard), p)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: got %v, want %s", hard, err, want)
		}
	}
}
