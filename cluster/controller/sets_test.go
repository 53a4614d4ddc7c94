package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/wait"
)

func template(app string) v1.PodTemplateSpec {
	return v1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}}, Spec: v1.PodSpec{Containers: container()},
	}
}

func selector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// hasEvent waits for an event whose reason and message have the words.
func (c *testCluster) hasEvent(object, reason, words string) {
	c.t.Helper()
	wait.For(c.t, "event "+reason, func() error {
		list, err := c.CoreV1().Events("default").List(c.t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		var seen []string
		for _, e := range list.Items {
			if e.InvolvedObject.Name != object {
				continue
			}
			if e.Reason == reason && strings.Contains(e.Message, words) {
				return nil
			}
			seen = append(seen, e.Reason+": "+e.Message)
		}
		return wait.Seen(false, "of it there are only: "+strings.Join(seen, "; "))
	})
}

// end ends a pod as a kubelet would whose containers ended.
func (c *testCluster) end(name string, phase v1.PodPhase) {
	c.t.Helper()
	wait.For(c.t, "end "+name, func() error {
		p, err := c.CoreV1().Pods("default").Get(c.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		p.Status.Phase = phase
		p.Status.Conditions = nil
		if _, err := c.CoreV1().Pods("default").UpdateStatus(c.t.Context(), p, metav1.UpdateOptions{}); err != nil {
			return err
		}
		return nil
	})
}

func TestDaemonSet(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	c.node("n1")
	c.node("n2")
	api := c.AppsV1().DaemonSets("default")
	_, err := api.Create(ctx, &apps.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec:       apps.DaemonSetSpec{Selector: selector("agent"), Template: template("agent")},
	}, metav1.CreateOptions{})
	c.must(err)
	settled := func(nodes ...string) {
		t.Helper()
		wait.For(c.t, fmt.Sprint("one ready pod on each of ", nodes), func() error {
			ds, err := api.Get(ctx, "agent", metav1.GetOptions{})
			if err != nil {
				return err
			}
			var on []string
			for _, p := range c.pods("agent") {
				on = append(on, p.Spec.NodeName)
			}
			slices.Sort(on)
			n, s := int32(len(nodes)), ds.Status
			if !slices.Equal(on, nodes) || s.DesiredNumberScheduled != n || s.CurrentNumberScheduled != n || s.NumberReady != n ||
				s.UpdatedNumberScheduled != n || s.NumberAvailable != n || s.NumberUnavailable != 0 || s.ObservedGeneration != ds.Generation {
				return fmt.Errorf("%v, %+v", on, s)
			}
			return nil
		})
	}
	settled("n1", "n2")
	c.hasEvent("agent", "SuccessfulCreate", "Created pod: agent-")

	// A node that joins gets its pod; one that is not for daemons of this kind does not.
	c.node("n3")
	settled("n1", "n2", "n3")

	// A pod that failed is replaced.
	broken := c.pods("agent")[0].Name
	c.end(broken, v1.PodFailed)
	c.hasEvent("agent", "FailedDaemonPod", "Found failed daemon pod default/"+broken)
	settled("n1", "n2", "n3")

	// A new template reaches every node, never more than one at a time, and can be taken back.
	for i, image := range []string{"nginx:2", "nginx"} {
		_, err = api.Patch(ctx, "agent", types.StrategicMergePatchType,
			[]byte(fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":%q}]}}}}`, image)), metav1.PatchOptions{})
		c.must(err)
		wait.For(c.t, "all of "+image, func() error {
			var images []string
			for _, p := range c.pods("agent") {
				images = append(images, p.Spec.Containers[0].Image)
			}
			if !slices.Equal(images, []string{image, image, image}) {
				return wait.Seen(false, images)
			}
			return nil
		})
		settled("n1", "n2", "n3")
		list, err := c.AppsV1().ControllerRevisions("default").List(ctx, metav1.ListOptions{LabelSelector: "app=agent"})
		c.must(err)
		highest := int64(0)
		for _, r := range list.Items {
			highest = max(highest, r.Revision)
		}
		if len(list.Items) != 2 || highest != int64(2+i) {
			t.Errorf("after %s: %d revisions, the highest %d", image, len(list.Items), highest)
		}
	}
	// A revision that somebody deletes comes back, and no pod is touched.
	before := fmt.Sprint(c.pods("agent")[0].UID)
	c.must(c.AppsV1().ControllerRevisions("default").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	wait.For(c.t, "a revision of the present template", func() error {
		list, err := c.AppsV1().ControllerRevisions("default").List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			return wait.Seen(false, err, len(list.Items))
		}
		return nil
	})
	settled("n1", "n2", "n3")
	if after := fmt.Sprint(c.pods("agent")[0].UID); after != before {
		t.Error("the pods were recreated")
	}
	// Its pods and revisions go before it, and it does not recreate them while one lingers.
	slow := c.pods("agent")[0].Name
	hold := func(finalizers string) {
		t.Helper()
		_, err := c.CoreV1().Pods("default").Patch(ctx, slow, types.MergePatchType, []byte(`{"metadata":{"finalizers":`+finalizers+`}}`), metav1.PatchOptions{})
		c.must(err)
	}
	hold(`["example.com/hold"]`)
	foreground := metav1.DeletePropagationForeground
	seen, err := c.AppsV1().ControllerRevisions("default").Watch(ctx, metav1.ListOptions{})
	c.must(err)
	defer seen.Stop()
	var made atomic.Int32
	go func() {
		for e := range seen.ResultChan() {
			if e.Type == watch.Added {
				made.Add(1)
			}
		}
	}()
	c.must(api.Delete(ctx, "agent", metav1.DeleteOptions{PropagationPolicy: &foreground}))
	wait.For(c.t, "only the pod that lingers", func() error {
		list, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=agent"})
		if err != nil || len(list.Items) != 1 || list.Items[0].DeletionTimestamp == nil {
			return wait.Seen(false, err, len(list.Items))
		}
		return nil
	})
	for i := range 3 { // whatever wakes the controller now
		_, err := api.Patch(ctx, "agent", types.MergePatchType, []byte(fmt.Sprintf(`{"metadata":{"annotations":{"n":"%d"}}}`, i)), metav1.PatchOptions{})
		c.must(err)
	}
	hold(`[]`)
	wait.For(c.t, "the set gone", func() error {
		ds, err := api.Get(ctx, "agent", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return wait.Seen(false, err, ds.Finalizers)
	})
	if n := made.Load(); n > 1 { // the one there was
		t.Errorf("%d revisions were made for a set that is going", n-1)
	}
	wait.For(c.t, "pods and revisions gone", func() error {
		list, err := c.AppsV1().ControllerRevisions("default").List(ctx, metav1.ListOptions{})
		if n := len(c.pods("agent")); err != nil || n+len(list.Items) > 0 {
			return wait.Seen(false, n, " pods, ", len(list.Items), " revisions, ", err)
		}
		return nil
	})
}

func makeStatefulSet(name string, n int32) *apps.StatefulSet {
	return &apps.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       apps.StatefulSetSpec{Replicas: &n, ServiceName: name, Selector: selector(name), Template: template(name)},
	}
}

func TestStatefulSet(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	c.node("n1")
	for i := range 3 {
		c.volume(fmt.Sprint("v", i), "1Gi", v1.PersistentVolumeReclaimRetain)
	}
	api := c.AppsV1().StatefulSets("default")
	set := makeStatefulSet("db", 3)
	none := ""
	set.Spec.VolumeClaimTemplates = []v1.PersistentVolumeClaim{{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: &none, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}}
	set.Spec.PersistentVolumeClaimRetentionPolicy = &apps.StatefulSetPersistentVolumeClaimRetentionPolicy{
		WhenScaled: apps.DeletePersistentVolumeClaimRetentionPolicyType,
	}
	_, err := api.Create(ctx, set, metav1.CreateOptions{})
	c.must(err)
	state := func() string {
		s, err := api.Get(ctx, "db", metav1.GetOptions{})
		c.must(err)
		list, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=db"})
		c.must(err)
		var names []string
		for _, p := range list.Items {
			names = append(names, fmt.Sprint(p.Name, " ", p.Spec.Containers[0].Image, " ", p.Status.Phase))
		}
		slices.Sort(names)
		rev := "updating"
		if s.Status.CurrentRevision == s.Status.UpdateRevision {
			rev = "settled"
		}
		return fmt.Sprintf("%s; %d replicas, %d ready, %d available, %d updated, %s",
			strings.Join(names, ", "), s.Status.Replicas, s.Status.ReadyReplicas, s.Status.AvailableReplicas, s.Status.UpdatedReplicas, rev)
	}
	reaches := func(want string) {
		t.Helper()
		wait.For(c.t, want, func() error {
			if got := state(); got != want {
				return wait.Seen(false, got)
			}
			return nil
		})
	}
	reaches("db-0 nginx Running, db-1 nginx Running, db-2 nginx Running; 3 replicas, 3 ready, 3 available, 3 updated, settled")
	var ends []string
	list, err := c.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=db"})
	c.must(err)
	for _, p := range list.Items {
		ends = append(ends, p.CreationTimestamp.String()+p.Name)
	}
	if !slices.IsSorted(ends) {
		t.Errorf("not one after the other: %v", ends)
	}
	c.hasEvent("db", "SuccessfulCreate", "create Pod db-2 in StatefulSet db successful")
	c.hasEvent("db", "SuccessfulCreate", "create Claim data-db-2 Pod db-2 in StatefulSet db success")

	// One that is lost comes back under its name, with its claim; so does one that failed.
	first, err := c.CoreV1().Pods("default").Get(ctx, "db-1", metav1.GetOptions{})
	c.must(err)
	c.must(c.CoreV1().Pods("default").Delete(ctx, "db-1", metav1.DeleteOptions{}))
	wait.For(c.t, "another db-1", func() error {
		p, err := c.CoreV1().Pods("default").Get(ctx, "db-1", metav1.GetOptions{})
		if err != nil || p.UID == first.UID {
			return wait.Seen(false, err)
		}
		if got := p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName; got != "data-db-1" {
			t.Errorf("claim %s", got)
		}
		return nil
	})
	reaches("db-0 nginx Running, db-1 nginx Running, db-2 nginx Running; 3 replicas, 3 ready, 3 available, 3 updated, settled")
	c.end("db-0", v1.PodFailed)
	c.hasEvent("db", "RecreatingFailedPod", "StatefulSet default/db is recreating failed Pod db-0")
	reaches("db-0 nginx Running, db-1 nginx Running, db-2 nginx Running; 3 replicas, 3 ready, 3 available, 3 updated, settled")

	// An update goes from the last to the partition, then to the first.
	patch := func(text string) {
		t.Helper()
		_, err := api.Patch(ctx, "db", types.StrategicMergePatchType, []byte(text), metav1.PatchOptions{})
		c.must(err)
	}
	patch(`{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}},"template":{"spec":{"containers":[{"name":"c","image":"nginx:2"}]}}}}`)
	reaches("db-0 nginx Running, db-1 nginx Running, db-2 nginx:2 Running; 3 replicas, 3 ready, 3 available, 1 updated, updating")
	c.must(c.CoreV1().Pods("default").Delete(ctx, "db-0", metav1.DeleteOptions{}))
	reaches("db-0 nginx Running, db-1 nginx Running, db-2 nginx:2 Running; 3 replicas, 3 ready, 3 available, 1 updated, updating")
	patch(`{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}`)
	reaches("db-0 nginx:2 Running, db-1 nginx:2 Running, db-2 nginx:2 Running; 3 replicas, 3 ready, 3 available, 3 updated, settled")

	// Fewer: the last one goes, and its claim with it.
	patch(`{"spec":{"replicas":1}}`)
	reaches("db-0 nginx:2 Running; 1 replicas, 1 ready, 1 available, 1 updated, settled")
	wait.For(c.t, "the claims of those that went are gone", func() error {
		list, err := c.CoreV1().PersistentVolumeClaims("default").List(ctx, metav1.ListOptions{})
		c.must(err)
		if len(list.Items) != 1 || list.Items[0].Name != "data-db-0" {
			return wait.Seen(false, len(list.Items), " claims")
		}
		return nil
	})
}

// A claim that something else controls stays as it is, and the set says so.
func TestClaimOfAnotherController(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	c.node("n1")
	c.claim("data-db-0", "1Gi", "")
	claim, err := c.CoreV1().PersistentVolumeClaims("default").Get(ctx, "data-db-0", metav1.GetOptions{})
	c.must(err)
	other, err := c.CoreV1().ConfigMaps("default").Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{})
	c.must(err)
	wait.For(t, "the claim of another", func() error {
		_, err := c.CoreV1().PersistentVolumeClaims("default").Patch(ctx, "data-db-0", types.MergePatchType,
			[]byte(fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"other","uid":%q,"controller":true}]}}`, other.UID)), metav1.PatchOptions{})
		return err
	})
	set := makeStatefulSet("db", 1)
	set.Spec.VolumeClaimTemplates = []v1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: claim.Spec}}
	set.Spec.PersistentVolumeClaimRetentionPolicy = &apps.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: apps.DeletePersistentVolumeClaimRetentionPolicyType}
	_, err = c.AppsV1().StatefulSets("default").Create(ctx, set, metav1.CreateOptions{})
	c.must(err)
	c.hasEvent("db", "ConflictingController", "PersistentVolumeClaim data-db-0 has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim")
	claim, err = c.CoreV1().PersistentVolumeClaims("default").Get(ctx, "data-db-0", metav1.GetOptions{})
	c.must(err)
	if len(claim.OwnerReferences) != 1 || claim.OwnerReferences[0].Name != "other" {
		t.Errorf("owners %+v", claim.OwnerReferences)
	}
}

func TestParallelStatefulSet(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	set := makeStatefulSet("p", 3)
	set.Spec.PodManagementPolicy = apps.ParallelPodManagement
	set.Spec.Ordinals = &apps.StatefulSetOrdinals{Start: 5}
	two := intstr.FromInt32(2)
	set.Spec.UpdateStrategy = apps.StatefulSetUpdateStrategy{
		Type: apps.RollingUpdateStatefulSetStrategyType, RollingUpdate: &apps.RollingUpdateStatefulSetStrategy{MaxUnavailable: &two},
	}
	_, err := c.AppsV1().StatefulSets("default").Create(ctx, set, metav1.CreateOptions{})
	c.must(err)
	// No node: none of them ever runs, and yet all are there.
	wait.For(c.t, "three pods that wait", func() error {
		var names []string
		for _, p := range c.pods("p") {
			names = append(names, p.Name+"/"+p.Labels[apps.PodIndexLabel])
		}
		slices.Sort(names)
		if fmt.Sprint(names) != "[p-5/5 p-6/6 p-7/7]" {
			return wait.Seen(false, names)
		}
		return nil
	})
}
