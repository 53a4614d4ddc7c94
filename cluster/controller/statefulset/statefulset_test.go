package statefulset

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Unix(1_000_000, 0)

func set(n int32, edit ...func(*apps.StatefulSet)) *apps.StatefulSet {
	s := &apps.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db", UID: "db"}}
	s.Spec.Replicas, s.Spec.ServiceName = &n, "dbs"
	s.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}
	s.Spec.Template.Labels = map[string]string{"app": "db"}
	s.Spec.UpdateStrategy.Type = apps.RollingUpdateStatefulSetStrategyType
	s.Spec.UpdateStrategy.RollingUpdate = &apps.RollingUpdateStatefulSetStrategy{}
	for _, e := range edit {
		e(s)
	}
	return s
}

func parallel(s *apps.StatefulSet) { s.Spec.PodManagementPolicy = apps.ParallelPodManagement }
func onDelete(s *apps.StatefulSet) {
	s.Spec.UpdateStrategy.Type = apps.OnDeleteStatefulSetStrategyType
}

func partition(n int32) func(*apps.StatefulSet) {
	return func(s *apps.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = &n }
}

func budget(v string) func(*apps.StatefulSet) {
	return func(s *apps.StatefulSet) {
		n := intstr.Parse(v)
		s.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable = &n
	}
}

func start(n int32) func(*apps.StatefulSet) {
	return func(s *apps.StatefulSet) { s.Spec.Ordinals = &apps.StatefulSetOrdinals{Start: n} }
}

func claimed(deleted, scaled apps.PersistentVolumeClaimRetentionPolicyType) func(*apps.StatefulSet) {
	return func(s *apps.StatefulSet) {
		s.Spec.VolumeClaimTemplates = []v1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
		s.Spec.PersistentVolumeClaimRetentionPolicy = &apps.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: deleted, WhenScaled: scaled}
	}
}

// pods reads "0 1-new 2-old-sick": ordinals, and what is to say of each pod.
func pods(s *apps.StatefulSet, words string) (out []*v1.Pod) {
	for _, w := range strings.Fields(words) {
		parts := strings.Split(w, "-")
		var n int
		_, _ = fmt.Sscan(parts[0], &n)
		p := podFor(s, &s.Spec.Template, "new", n)
		p.UID = types.UID(p.Name)
		p.Status.Phase = v1.PodRunning
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))}}
		for _, part := range parts[1:] {
			switch part {
			case "old":
				p.Labels[apps.StatefulSetRevisionLabel] = "old"
			case "sick":
				p.Status.Conditions = nil
			case "pending":
				p.Status.Phase, p.Status.Conditions = v1.PodPending, nil
			case "failed":
				p.Status.Phase, p.Status.Conditions = v1.PodFailed, nil
			case "going":
				p.DeletionTimestamp = &metav1.Time{Time: now}
			case "strange":
				delete(p.Labels, apps.StatefulSetPodNameLabel)
			}
		}
		out = append(out, p)
	}
	return out
}

func stateOf(s *apps.StatefulSet, words string, claims ...*v1.PersistentVolumeClaim) *snapshot {
	return &snapshot{
		set: s, current: version{"old", &s.Spec.Template}, update: version{"new", &s.Spec.Template}, pods: pods(s, words), now: now,
		claim: func(name string) *v1.PersistentVolumeClaim {
			for _, c := range claims {
				if c.Name == name {
					return c
				}
			}
			return nil
		},
	}
}

func show(steps []step) string {
	var out []string
	for _, s := range steps {
		out = append(out, fmt.Sprint(s.do, " ", s.pod.Name, "@", revisionOf(s.pod)))
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	tests := []struct {
		name string
		set  *apps.StatefulSet
		pods string
		want string
	}{
		{"the first", set(3), "", "create db-0@new"},
		{"not before it is ready", set(3), "0-sick", ""},
		{"not before it is available", set(3, func(s *apps.StatefulSet) { s.Spec.MinReadySeconds = 90 }), "0", ""},
		{"the next", set(3), "0", "create db-1@new"},
		{"a hole", set(3), "0 2", "create db-1@new"},
		{"done", set(3), "0 1 2", ""},
		{"all at once", set(3, parallel), "", "create db-0@new, create db-1@new, create db-2@new"},
		{"from five", set(2, start(5)), "5", "create db-6@new"},
		{"the range moved", set(2, start(1)), "0 1 2", "delete db-0@new"},
		{"one that failed", set(2), "0-failed", "recreate db-0@new"},
		{"one that failed and goes", set(2), "0-failed-going", ""},
		{"one that goes is waited for", set(2), "0-going 1", ""},
		{"fewer: the last first", set(1), "0 1 2", "delete db-2@new"},
		{"fewer, one by one", set(1), "0 1 2-going", ""},
		{"fewer, but one is not well", set(1), "0-sick 1 2", ""},
		{"fewer, the sick one is between", set(1), "0 1-sick 2", "delete db-2@new"},
		{"fewer, the sick one goes", set(1), "0 1 2-sick", "delete db-2@new"},
		{"fewer, two sick ones", set(1), "0 1-sick 2-sick", ""},
		{"fewer, at once", set(1, parallel), "0-sick 1 2", "delete db-2@new, delete db-1@new"},
		{"none", set(0), "0", "delete db-0@new"},
		{"identity", set(1), "0-strange", "relabel db-0@new"},
		{"update: the last first", set(3), "0-old 1-old 2-old", "delete db-2@old"},
		{"update: comes back as new", set(3), "0-old 1-old", "create db-2@new"},
		{"update: waits", set(3), "0-old 1-old 2-sick", ""},
		{"update: the next", set(3), "0-old 1-old 2", "delete db-1@old"},
		{"partition", set(3, partition(2)), "0-old 1-old 2-old", "delete db-2@old"},
		{"partition is reached", set(3, partition(2)), "0-old 1-old 2", ""},
		{"below the partition pods come back as they were", set(3, partition(2)), "0-old", "create db-1@old"},
		{"on delete", set(3, onDelete), "0-old 1-old 2-old", ""},
		{"on delete: deleted", set(3, onDelete), "0-old 1-old", "create db-2@new"},
		{"two at a time", set(4, budget("50%")), "0-old 1-old 2-old 3-old", "delete db-3@old, delete db-2@old"},
		{"two at a time, one under way", set(4, budget("2"), parallel), "0-old 1-old 2-old 3-sick", "delete db-2@old"},
		{"parallel: what does not work goes first come, one by one", set(3, parallel), "0-old-sick 1-old-sick 2-old-sick", "delete db-2@old"},
		{"parallel: a good one stays while another is sick", set(3, parallel), "0-old-sick 1-old 2", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(stateOf(tt.set, tt.pods).plan()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPlanOfManyReplicas: what a plan costs follows from the pods that there are, not from
// the number that a user asks for.
func TestPlanOfManyReplicas(t *testing.T) {
	for name, c := range map[string]struct {
		set  *apps.StatefulSet
		pods string
		want int
	}{
		"one by one":  {set(math.MaxInt32), "0 1", 1},
		"at once":     {set(math.MaxInt32, parallel), "0 1", 500},
		"a high one":  {set(math.MaxInt32, parallel), "0 2000000000", 501},
		"an old one":  {set(math.MaxInt32, parallel), "0 1-old", 500},
		"just enough": {set(502, parallel), "0 1", 500},
	} {
		t.Run(name, func(t *testing.T) {
			s := stateOf(c.set, c.pods)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			steps := s.plan()
			runtime.ReadMemStats(&after)
			if len(steps) != c.want || steps[0].do != create {
				t.Errorf("%d steps, want to create %d", len(steps), c.want)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 16 {
				t.Errorf("it took %d MB", used)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	s := set(2, claimed("", ""), func(s *apps.StatefulSet) {
		s.Spec.Template.Spec.Volumes = []v1.Volume{{Name: "data"}, {Name: "scratch"}}
	})
	p := podFor(s, &s.Spec.Template, "rev", 1)
	if p.Name != "db-1" || p.GenerateName != "" || p.Spec.Hostname != "db-1" || p.Spec.Subdomain != "dbs" {
		t.Errorf("%+v %+v", p.ObjectMeta, p.Spec)
	}
	want := map[string]string{"app": "db", apps.PodIndexLabel: "1", apps.StatefulSetPodNameLabel: "db-1", apps.StatefulSetRevisionLabel: "rev"}
	if fmt.Sprint(p.Labels) != fmt.Sprint(want) {
		t.Errorf("labels %v", p.Labels)
	}
	if len(p.Spec.Volumes) != 2 || p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data-db-1" || p.Spec.Volumes[1].Name != "scratch" {
		t.Errorf("volumes %v", p.Spec.Volumes)
	}
	if c := claimsFor(s, 1)[0]; c.Name != "data-db-1" || c.Labels["app"] != "db" {
		t.Errorf("claim %+v", c.ObjectMeta)
	}
	for name, want := range map[string]int{"db-0": 0, "db-12": 12, "db-01": -1, "db-x": -1, "db": -1, "other-1": -1, "db-1-1": -1} {
		if got := ordinalOf(s, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}); got != want {
			t.Errorf("%s: ordinal %d, want %d", name, got, want)
		}
	}
}

func TestClaimsAreKeptOrGo(t *testing.T) {
	const keep, remove = apps.RetainPersistentVolumeClaimRetentionPolicyType, apps.DeletePersistentVolumeClaimRetentionPolicyType
	tests := []struct {
		deleted, scaled apps.PersistentVolumeClaimRetentionPolicyType
		inRange         bool
		had, want       string
	}{
		{keep, keep, true, "", ""},
		{keep, keep, true, "db", ""},
		{remove, keep, true, "", "db"},
		{remove, keep, false, "db", "db"},
		{keep, remove, true, "", ""},
		{keep, remove, false, "", "db-0"},
		{remove, remove, true, "db", "db"},
		{remove, remove, false, "db", "db-0"},
		{remove, remove, true, "db-0", "db"},
		{remove, remove, false, "stranger", "stranger"},
		{remove, remove, true, "db stranger", "stranger"},
	}
	for _, tt := range tests {
		s := set(1, claimed(tt.deleted, tt.scaled))
		p := pods(s, "0")[0]
		claim := claimsFor(s, 0)[0]
		yes := true
		switch tt.had {
		case "db":
			claim.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(s, kind)}
		case "db-0":
			claim.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(p, v1.SchemeGroupVersion.WithKind("Pod"))}
		case "stranger", "db stranger":
			claim.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Thing", Name: "stranger", UID: "s", Controller: &yes}}
		}
		if strings.HasPrefix(tt.had, "db ") {
			claim.OwnerReferences = append(claim.OwnerReferences, *metav1.NewControllerRef(s, kind))
		}
		if got := conflicting(claim, s, p); got != strings.HasSuffix(tt.had, "stranger") {
			t.Errorf("%+v: conflicting %v", tt, got)
		}
		refs, change := desiredOwners(claim, s, p, tt.inRange)
		var got string
		for _, r := range refs {
			got += r.Name
		}
		if got != tt.want || change != (tt.had != tt.want) {
			t.Errorf("%+v: owners %q, change %v", tt, got, change)
		}
	}
}

// TestClaimsHaveOneController: an owner that is none becomes the controller again.
func TestClaimsHaveOneController(t *testing.T) {
	s := set(1, claimed(apps.DeletePersistentVolumeClaimRetentionPolicyType, apps.RetainPersistentVolumeClaimRetentionPolicyType))
	claim := claimsFor(s, 0)[0]
	claim.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(s, kind)}
	claim.OwnerReferences[0].Controller = new(false)
	refs, change := desiredOwners(claim, s, pods(s, "0")[0], true)
	if !change || len(refs) != 1 || !*refs[0].Controller {
		t.Errorf("owners %+v, change %v", refs, change)
	}
}

func TestPlanWithClaims(t *testing.T) {
	const keep, remove = apps.RetainPersistentVolumeClaimRetentionPolicyType, apps.DeletePersistentVolumeClaimRetentionPolicyType
	s := set(1, claimed(keep, remove))
	claim := claimsFor(s, 0)[0]
	going := claim.DeepCopy()
	going.DeletionTimestamp = &metav1.Time{Time: now}
	extra := claimsFor(s, 1)[0]
	tests := []struct {
		name, pods string
		claims     []*v1.PersistentVolumeClaim
		want       string
	}{
		{"it is there from before", "", []*v1.PersistentVolumeClaim{claim}, "create db-0@new"},
		{"the old one goes still", "", []*v1.PersistentVolumeClaim{going}, ""},
		{"a pod waits for a claim that somebody deleted", "0-pending", nil, "claims db-0@new"},
		{"scaled away with its claim", "0 1", []*v1.PersistentVolumeClaim{claim, extra}, "own db-1@new, delete db-1@new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(stateOf(s, tt.pods, tt.claims...).plan()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	tests := []struct {
		pods string
		want apps.StatefulSetStatus
	}{
		{"0-old 1-old-sick 2-going", apps.StatefulSetStatus{Replicas: 3, ReadyReplicas: 2, AvailableReplicas: 2, CurrentReplicas: 2, CurrentRevision: "old"}},
		{"0-old 1 2", apps.StatefulSetStatus{Replicas: 3, ReadyReplicas: 3, AvailableReplicas: 3, CurrentReplicas: 1, UpdatedReplicas: 2, CurrentRevision: "old"}},
		{"0 1 2-sick", apps.StatefulSetStatus{Replicas: 3, ReadyReplicas: 2, AvailableReplicas: 2, UpdatedReplicas: 3, CurrentRevision: "old"}},
		{"0 1 2", apps.StatefulSetStatus{Replicas: 3, ReadyReplicas: 3, AvailableReplicas: 3, CurrentReplicas: 3, UpdatedReplicas: 3, CurrentRevision: "new"}},
	}
	for _, tt := range tests {
		got := stateOf(set(3), tt.pods).status(0)
		tt.want.UpdateRevision, tt.want.CollisionCount = "new", new(int32)
		if got.String() != tt.want.String() {
			t.Errorf("%s: got %+v, want %+v", tt.pods, got, tt.want)
		}
	}
}
