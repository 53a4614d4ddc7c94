package kubelet

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/api/podsecurity"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// A pod that names its node itself does not run where its selector or affinity forbids it.
func TestMisplaced(t *testing.T) {
	k := &Kubelet{config: Config{NodeName: "n", Client: fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"disk": "ssd"}}})}}
	affine := func(key, field, value string) v1.PodSpec {
		r := []v1.NodeSelectorRequirement{{Key: key + field, Operator: v1.NodeSelectorOpIn, Values: []string{value}}}
		term := v1.NodeSelectorTerm{MatchExpressions: r}
		if field != "" {
			term = v1.NodeSelectorTerm{MatchFields: r}
		}
		return v1.PodSpec{Affinity: &v1.Affinity{NodeAffinity: &v1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{term}},
		}}}
	}
	static := v1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{podspec.AnnotationSource: "file"}}, Spec: v1.PodSpec{NodeSelector: map[string]string{"disk": "hdd"}}}
	for _, c := range []struct {
		pod  v1.Pod
		fits bool
	}{
		{v1.Pod{}, true},
		{v1.Pod{Spec: v1.PodSpec{NodeSelector: map[string]string{"disk": "ssd"}}}, true},
		{v1.Pod{Spec: v1.PodSpec{NodeSelector: map[string]string{"disk": "hdd"}}}, false},
		{v1.Pod{Spec: affine("disk", "", "ssd")}, true},
		{v1.Pod{Spec: affine("disk", "", "hdd")}, false},
		{v1.Pod{Spec: affine("", "metadata.name", "n")}, true},
		{v1.Pod{Spec: affine("", "metadata.name", "m")}, false},
		{static, true},
	} {
		reason, message, err := k.placementFailure(t.Context(), &c.pod)
		want := [2]string{"NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"}
		if c.fits {
			want = [2]string{}
		}
		if err != nil || [2]string{reason, message} != want {
			t.Errorf("%+v: %q %q %v", c.pod.Spec, reason, message, err)
		}
	}
	k.config.NodeName = "new"
	if _, message, err := k.placementFailure(t.Context(), &v1.Pod{Spec: v1.PodSpec{NodeSelector: map[string]string{"a": "b"}}}); message != "" || err != nil {
		t.Errorf("before the node is registered: %q %v", message, err)
	}
}

func TestMisfit(t *testing.T) {
	asking := func(uid, name, amount string) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, Spec: v1.PodSpec{Containers: []v1.Container{{
			Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceName(name): resource.MustParse(amount)}},
		}}}}
	}
	k := &Kubelet{capacity: v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("2"), v1.ResourceMemory: resource.MustParse("1Gi"), v1.ResourceEphemeralStorage: resource.MustParse("10Gi"),
	}}
	k.workers = map[types.UID]*worker{"o": {input: newInput(asking("o", "cpu", "500m"))}, "me": {input: newInput(asking("me", "cpu", "3"))}}
	windows := asking("me", "cpu", "1")
	windows.Spec.OS = &v1.PodOS{Name: v1.Windows}
	full := &v1.Pod{Spec: v1.PodSpec{InitContainers: make([]v1.Container, 100), Containers: make([]v1.Container, 400)}}
	crowded := &v1.Pod{Spec: v1.PodSpec{InitContainers: make([]v1.Container, 100), Containers: make([]v1.Container, 401)}}
	armoured := asking("me", "cpu", "1")
	armoured.Spec.SecurityContext = &v1.PodSecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeRuntimeDefault}}
	armourReason, armourMessage := "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"
	if containerspec.AppArmorEnabled() {
		armourReason, armourMessage = "", ""
	}
	linux := asking("me", "cpu", "2")
	linux.Spec.OS = &v1.PodOS{Name: v1.Linux}
	for _, c := range []struct {
		pod             *v1.Pod
		reason, message string
	}{
		{linux, "", ""},
		{full, "", ""},
		{crowded, "TooManyContainers", "The node runs pods of at most 500 containers, and this one has 501"},
		{armoured, armourReason, armourMessage},
		{windows, "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"},
		{asking("me", "cpu", "3"), "OutOfcpu", "Node didn't have enough resource: cpu, requested: 3000, used: 500, capacity: 2000"},
		{asking("me", "memory", "2Gi"), "OutOfmemory", "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"},
		{asking("me", "ephemeral-storage", "11Gi"), "OutOfephemeral-storage", "Node didn't have enough resource: ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240"},
		{asking("me", "example.com/dongle", "3"), "", ""},
	} {
		if reason, message := k.admissionFailure(c.pod); reason != c.reason || message != c.message {
			t.Errorf("%q %q, want %q %q", reason, message, c.reason, c.message)
		}
	}
}

// A node with PodSecurity refuses a pod whatever its status says, and of an ephemeral container that violates it only that.
func TestSecure(t *testing.T) {
	checks, err := podsecurity.NewNode()
	if err != nil {
		t.Fatal(err)
	}
	root := &v1.SecurityContext{Privileged: new(true)}
	privileged := v1.PodSpec{Containers: []v1.Container{{Name: "c", SecurityContext: root}}}
	started := v1.PodStatus{Phase: v1.PodRunning, StartTime: &metav1.Time{Time: time.Now()}}
	debugged := v1.PodSpec{Containers: []v1.Container{{Name: "c"}}, EphemeralContainers: []v1.EphemeralContainer{
		{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "root", SecurityContext: root}},
		{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "harmless"}},
	}}
	for name, c := range map[string]struct {
		checks PodSecurity
		pod    v1.Pod
		fails  bool
	}{
		"new":         {checks, v1.Pod{Spec: privileged}, true},
		"started":     {checks, v1.Pod{Spec: privileged, Status: started}, true},
		"static":      {checks, v1.Pod{Spec: privileged, ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{podspec.AnnotationSource: "file"}}}, true},
		"system":      {checks, v1.Pod{Spec: privileged, ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem}}, true},
		"debugged":    {checks, v1.Pod{Spec: debugged, Status: started}, false},
		"other nodes": {nil, v1.Pod{Spec: privileged}, false},
	} {
		events := record.NewFakeRecorder(4)
		w := &worker{k: &Kubelet{config: Config{PodSecurity: c.checks}}}
		w.podEvents = podEvents{recorder: events, ref: cri.PodRef{Namespace: "default", Name: "p"}, newest: func() *v1.Pod { return &c.pod }}
		if err := w.secure(t.Context(), &podStep{pod: &c.pod}); err != nil {
			t.Error(err)
		}
		failed := w.finished && w.observed.Failed != nil && w.observed.Failed.Reason == podSecurityReason && len(events.Events) == 1
		if failed != c.fails || !c.fails && (w.finished || len(events.Events) > 0) {
			t.Errorf("%s: %+v, %d events", name, w.observed.Failed, len(events.Events))
		}
	}
	w := &worker{k: &Kubelet{config: Config{PodSecurity: checks}}}
	pod := &v1.Pod{Spec: debugged}
	for name, allowed := range map[string]bool{"c": true, "harmless": true, "root": false} {
		if err := w.permit(pod, &v1.Container{Name: name}); (err == nil) != allowed {
			t.Errorf("container %s: %v", name, err)
		}
	}
	at := func(name string) int {
		for i := range stages {
			if stages[i].name == name {
				return i
			}
		}
		return -1
	}
	if secure := at("secure"); secure < 0 || secure > at("admit") || secure > at("repair") || secure > at("sync") {
		t.Error("a stage that starts something comes before")
	}
}
