package kubectl

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An exchange in which pods become ready at once never has fewer ready pods than
// desired and never more than one beyond, and it ends.
func TestExchangeSteps(t *testing.T) {
	for _, tc := range []struct{ old, desired int32 }{{3, 3}, {1, 1}, {5, 2}, {2, 5}, {0, 3}, {3, 0}} {
		c := counts{old: tc.old, oldReady: tc.old, desired: tc.desired}
		least := min(tc.old, tc.desired)
		for step := 0; !c.done(); step++ {
			if step > 20 {
				t.Fatalf("%+v does not end, it stands at %+v", tc, c)
			}
			c.next = c.up()
			c.nextReady = c.next
			if most := max(tc.desired+1, tc.old); c.old+c.next > most {
				t.Errorf("%+v: %d pods, want at most %d", tc, c.old+c.next, most)
			}
			c.old = c.down()
			c.oldReady = c.old
			if c.old+c.next < least {
				t.Errorf("%+v: %d pods are left, want at least %d", tc, c.old+c.next, least)
			}
		}
	}
}

func TestExchangeWaitsForReady(t *testing.T) {
	c := counts{old: 3, oldReady: 3, next: 1, nextReady: 0, desired: 3}
	if got := c.down(); got != 3 {
		t.Errorf("with the new pod unready %d old ones are kept, want 3", got)
	}
	c = counts{old: 3, oldReady: 2, next: 1, nextReady: 1, desired: 3}
	if got := c.down(); got != 2 {
		t.Errorf("with one old pod unready %d old ones are kept, want 2", got)
	}
}

func TestExchangeStuck(t *testing.T) {
	for _, tc := range []struct {
		counts
		want bool
	}{
		{counts{old: 2, oldReady: 2, next: 2, nextReady: 1, desired: 3}, true},
		{counts{old: 2, oldReady: 2, next: 2, nextReady: 2, desired: 3}, false},
		{counts{old: 2, oldReady: 1, next: 2, nextReady: 1, desired: 3}, false}, // the unready old pod can go
		{counts{old: 2, oldReady: 2, next: 1, nextReady: 0, desired: 3}, false}, // one more new pod can come
	} {
		if got := tc.stuck(); got != tc.want {
			t.Errorf("%+v: stuck is %v", tc.counts, got)
		}
	}
}

func controllerOf(name string, labels map[string]string, images ...string) *corev1.ReplicationController {
	rc := &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: name}}
	rc.Spec.Selector = labels
	rc.Spec.Template = &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	for _, image := range images {
		rc.Spec.Template.Spec.Containers = append(rc.Spec.Template.Spec.Containers, corev1.Container{Name: "c-" + image, Image: image})
	}
	return rc
}

func TestNewImage(t *testing.T) {
	old := controllerOf("web", map[string]string{"app": "web"}, "v1")
	o := &rollingOptions{oldName: "web", image: "v2", key: "deployment"}
	next, err := o.withImage(old)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(next.Name, "web-") || next.Spec.Template.Spec.Containers[0].Image != "v2" || next.Spec.Selector["deployment"] == "" ||
		next.Spec.Template.Labels["deployment"] != next.Spec.Selector["deployment"] {
		t.Errorf("new controller %+v", next)
	}
	if len(old.Spec.Selector) != 1 || old.Spec.Template.Spec.Containers[0].Image != "v1" {
		t.Errorf("the old controller changed: %+v", old)
	}
	if _, err := o.withImage(controllerOf("two", map[string]string{"app": "two"}, "a", "b")); err == nil || !strings.Contains(err.Error(), "--container") {
		t.Errorf("two containers: %v", err)
	}
}

func TestRollingUpdateRefuses(t *testing.T) {
	for _, tc := range []struct {
		o    rollingOptions
		args []string
		want string
	}{
		{rollingOptions{}, nil, "OLD_NAME"},
		{rollingOptions{}, []string{"a"}, "-f NEW_SPEC"},
		{rollingOptions{file: "x", image: "y"}, []string{"a"}, "one of"},
		{rollingOptions{image: "y"}, []string{"a", "a"}, "another name"},
		{rollingOptions{file: "x"}, []string{"a", "b"}, "leave"},
		{rollingOptions{rollback: true}, []string{"a"}, "--rollback"},
	} {
		if err := tc.o.complete(tc.args); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v %v: %v, want %q", tc.o, tc.args, err, tc.want)
		}
	}
	same := map[string]string{"app": "web"}
	if err := different(controllerOf("a", same, "v1"), controllerOf("b", same, "v2")); err == nil || !strings.Contains(err.Error(), "differ") {
		t.Errorf("same selector: %v", err)
	}
	if err := different(controllerOf("a", same, "v1"), controllerOf("b", map[string]string{"app": "web2"}, "v2")); err != nil {
		t.Errorf("other selector: %v", err)
	}
}
