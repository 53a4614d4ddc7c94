package history

import (
	"fmt"
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/controller/podcontrol"
)

func set(image string) *Set {
	ds := &apps.DaemonSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "agent", UID: "1", Annotations: map[string]string{"kubernetes.io/change-cause": "because"},
	}}
	return &Set{
		Owner: podcontrol.Owner{Object: ds, Kind: apps.SchemeGroupVersion.WithKind("DaemonSet")}, HashLabel: "hash",
		Template: &v1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "agent"}},
			Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: image}}},
		},
	}
}

func TestBuild(t *testing.T) {
	a, err := build(set("one"), 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := build(set("one"), 4, 0)
	other, _ := build(set("two"), 3, 0)
	collided, _ := build(set("one"), 3, 1)
	if a.Name != again.Name || a.Name == other.Name || a.Name == collided.Name {
		t.Errorf("names %s, %s; other template %s, after a collision %s", a.Name, again.Name, other.Name, collided.Name)
	}
	if a.Labels["app"] != "agent" || a.Name != "agent-"+a.Labels["hash"] || a.Revision != 3 {
		t.Errorf("%+v", a)
	}
	if a.Annotations["kubernetes.io/change-cause"] != "because" || !metav1.IsControlledBy(a, set("one").Object) {
		t.Errorf("cause and owner are missing: %+v", a.ObjectMeta)
	}
	back, err := Template(a)
	if err != nil || back.Spec.Containers[0].Image != "one" || back.Labels["app"] != "agent" {
		t.Errorf("the template that comes back is %+v, %v", back, err)
	}
}

func TestLongNamesAreCut(t *testing.T) {
	s := set("one")
	s.Object.SetName(string(slices.Repeat([]byte("x"), 253)))
	r, err := build(s, 1, 0)
	if err != nil || len(r.Name) > 253 {
		t.Errorf("%d characters, %v", len(r.Name), err)
	}
}

func TestSurplus(t *testing.T) {
	var all []*apps.ControllerRevision
	for i := range 5 {
		all = append(all, &apps.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}, Revision: int64(5 - i)})
	}
	order(all)
	tests := []struct {
		limit int
		used  string
		want  string
	}{
		{10, "", "[]"}, {5, "", "[]"}, {3, "", "[4 3]"}, {3, "4", "[3 2]"}, {0, "2", "[4 3 1 0]"}, {-1, "", "[]"},
	}
	for _, tt := range tests {
		var got []string
		for _, r := range surplus(all, tt.limit, func(r *apps.ControllerRevision) bool { return r.Name == tt.used }) {
			got = append(got, r.Name)
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("limit %d, used %q: got %v, want %s", tt.limit, tt.used, got, tt.want)
		}
	}
}
