package controller_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller/persistentvolume"
	"wheelhouse/cluster/wait"
)

func (c *testCluster) class(name, provisioner string, mode storagev1.VolumeBindingMode, isDefault bool) {
	c.t.Helper()
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: &mode}
	if isDefault {
		class.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	}
	_, err := c.StorageV1().StorageClasses().Create(c.t.Context(), class, metav1.CreateOptions{})
	c.must(err)
}

func (c *testCluster) claimOf(name string, class *string) {
	c.t.Helper()
	_, err := c.CoreV1().PersistentVolumeClaims("default").Create(c.t.Context(), &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: class, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	c.must(err)
}

func (c *testCluster) podWithClaim(name, claim string) {
	c.t.Helper()
	_, err := c.CoreV1().Pods("default").Create(c.t.Context(), &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PodSpec{Containers: container(), Volumes: []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}}}},
	}, metav1.CreateOptions{})
	c.must(err)
}

func (c *testCluster) boundClaim(name string) *v1.PersistentVolumeClaim {
	c.t.Helper()
	var got *v1.PersistentVolumeClaim
	wait.For(c.t, "claim "+name+" bound", func() error {
		var err error
		got, err = c.CoreV1().PersistentVolumeClaims("default").Get(c.t.Context(), name, metav1.GetOptions{})
		c.must(err)
		if got.Status.Phase != v1.ClaimBound {
			return wait.Seen(false, got.Spec, got.Status, got.Annotations)
		}
		return nil
	})
	return got
}

func (c *testCluster) nodeOfPod(name string) string {
	c.t.Helper()
	var node string
	wait.For(c.t, name+" on a node", func() error {
		p, err := c.CoreV1().Pods("default").Get(c.t.Context(), name, metav1.GetOptions{})
		c.must(err)
		node = p.Spec.NodeName
		if node == "" {
			return wait.Seen(false, p.Status.Conditions)
		}
		return nil
	})
	return node
}

func (c *testCluster) eventsOf(object string) []v1.Event {
	c.t.Helper()
	list, err := c.CoreV1().Events("").List(c.t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + object})
	c.must(err)
	return list.Items
}

func (c *testCluster) expectEvent(object, reason, text string) {
	c.t.Helper()
	wait.For(c.t, fmt.Sprintf("event %s of %s with %q", reason, object, text), func() error {
		var seen []string
		for _, e := range c.eventsOf(object) {
			if e.Reason == reason && strings.Contains(e.Message, text) {
				return nil
			}
			seen = append(seen, e.Reason+": "+e.Message)
		}
		return wait.Seen(false, strings.Join(seen, "\n"))
	})
}

func TestProvisionedWhereThePodGoes(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.node("n2")
	c.class("standard", persistentvolume.Provisioner, storagev1.VolumeBindingWaitForFirstConsumer, true)
	c.claimOf("data", nil)
	c.expectEvent("data", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
	waiting, err := c.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "data", metav1.GetOptions{})
	c.must(err)
	if waiting.Spec.StorageClassName != nil {
		t.Errorf("the claim has class %q before a pod needs it", *waiting.Spec.StorageClassName)
	}
	c.podWithClaim("first", "data")
	claim, node := c.boundClaim("data"), c.nodeOfPod("first")
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName != "standard" {
		t.Errorf("class of the claim: %v", claim.Spec.StorageClassName)
	}
	pv, err := c.CoreV1().PersistentVolumes().Get(t.Context(), claim.Spec.VolumeName, metav1.GetOptions{})
	c.must(err)
	only := pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0]
	if only.Key != v1.LabelHostname || len(only.Values) != 1 || only.Values[0] != node {
		t.Errorf("the volume is for %v, the pod on %s", only, node)
	}
	c.expectEvent("data", "ProvisioningSucceeded", "Successfully provisioned volume "+pv.Name)
	c.expectEvent("first", "Scheduled", "to "+node)
	for _, e := range c.eventsOf("first") {
		if e.Type == v1.EventTypeWarning {
			t.Errorf("a warning on the way: %s", e.Message)
		}
	}
	c.podWithClaim("second", "data")
	if other := c.nodeOfPod("second"); other != node {
		t.Errorf("the second pod is on %s, its data on %s", other, node)
	}
}

func TestVolumesByHandComeBeforeTheDefaultClass(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.class("standard", persistentvolume.Provisioner, storagev1.VolumeBindingWaitForFirstConsumer, true)
	c.volume("by-hand", "1Gi", v1.PersistentVolumeReclaimRetain)
	c.expectVolume("by-hand", v1.VolumeAvailable)
	c.claimOf("old", nil)
	c.expectClaim("old", v1.ClaimBound, "by-hand")
	// A claim and its pod that are created just before the volume, as by a directory of files.
	c.claimOf("claim", nil)
	c.podWithClaim("pod", "claim")
	c.volume("volume", "1Gi", v1.PersistentVolumeReclaimRetain)
	c.expectClaim("claim", v1.ClaimBound, "volume")
	c.nodeOfPod("pod")
	none := ""
	c.claimOf("none", &none)
	c.expectEvent("none", "FailedBinding", "no persistent volumes available for this claim and no storage class is set: of 2 persistent volumes 2 bound to another claim")
}

func TestOtherClasses(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.class("now", persistentvolume.Provisioner, storagev1.VolumeBindingImmediate, false)
	c.class("foreign", "example.com/disk", storagev1.VolumeBindingImmediate, false)
	c.class("by-hand", "kubernetes.io/no-provisioner", storagev1.VolumeBindingWaitForFirstConsumer, false)
	now, foreign, unknown, byHand := "now", "foreign", "unknown", "by-hand"
	c.claimOf("at-once", &now)
	claim := c.boundClaim("at-once")
	c.claimOf("elsewhere", &foreign)
	c.expectEvent("elsewhere", "ExternalProvisioning", "created either by the external provisioner 'example.com/disk' or manually")
	c.claimOf("nowhere", &unknown)
	c.expectEvent("nowhere", "ProvisioningFailed", `storageclass.storage.k8s.io "unknown" not found`)

	// A volume of a class that waits is chosen with the node of the pod.
	c.claimOf("local", &byHand)
	c.podWithClaim("local", "local")
	c.expectEvent("local", "FailedScheduling", "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.")
	c.volume("of-n1", "2Gi", v1.PersistentVolumeReclaimRetain, func(pv *v1.PersistentVolume) {
		pv.Spec.StorageClassName = byHand
		pv.Spec.NodeAffinity = &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
			MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{"n1"}}},
		}}}}
	})
	c.nodeOfPod("local")
	c.expectClaim("local", v1.ClaimBound, "of-n1")

	// Its node does not answer, so the data cannot be removed; a Node that is deleted and registered again has it
	// still; when the node goes, it takes the data along.
	c.must(c.CoreV1().PersistentVolumeClaims("default").Delete(t.Context(), "at-once", metav1.DeleteOptions{}))
	c.expectEvent(claim.Spec.VolumeName, "VolumeFailedDelete", "the data of this volume lies on node n1 and cannot be removed now")
	c.expectVolume(claim.Spec.VolumeName, v1.VolumeFailed)
	node, err := c.CoreV1().Nodes().Get(t.Context(), "n1", metav1.GetOptions{})
	c.must(err)
	c.must(c.CoreV1().Nodes().Delete(t.Context(), "n1", metav1.DeleteOptions{}))
	_, err = c.CoreV1().PersistentVolumes().Patch(t.Context(), claim.Spec.VolumeName, types.MergePatchType, []byte(`{"metadata":{"labels":{"look":"again"}}}`), metav1.PatchOptions{})
	c.must(err)
	node.ResourceVersion, node.UID = "", ""
	_, err = c.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	c.must(err)
	failures := c.eventCount(claim.Spec.VolumeName, "VolumeFailedDelete")
	wait.Within(c.t, time.Minute, "another attempt to remove the data", func() error {
		_, err := c.CoreV1().PersistentVolumes().Get(t.Context(), claim.Spec.VolumeName, metav1.GetOptions{})
		c.must(err)
		return wait.Seen(c.eventCount(claim.Spec.VolumeName, "VolumeFailedDelete") > failures)
	})
	c.must(c.CoreV1().Nodes().Delete(t.Context(), "n1", metav1.DeleteOptions{}))
	wait.Within(c.t, time.Minute, "the volume gone", func() error {
		pv, err := c.CoreV1().PersistentVolumes().Get(t.Context(), claim.Spec.VolumeName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return wait.Seen(false, pv, err)
	})
}

// eventCount is how often an event about an object was recorded.
func (c *testCluster) eventCount(object, reason string) (n int32) {
	c.t.Helper()
	list, err := c.CoreV1().Events("").List(c.t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + object + ",reason=" + reason})
	c.must(err)
	for i := range list.Items {
		n += list.Items[i].Count
	}
	return n
}

// What a directory of a node cannot be is refused with an event, not left out.
func TestWhatIsNotProvisioned(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	now := storagev1.VolumeBindingImmediate
	for name, edit := range map[string]func(*storagev1.StorageClass){
		"plain":      func(*storagev1.StorageClass) {},
		"options":    func(s *storagev1.StorageClass) { s.MountOptions = []string{"noatime"} },
		"parameters": func(s *storagev1.StorageClass) { s.Parameters = map[string]string{"fsType": "xfs"} },
	} {
		class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: persistentvolume.Provisioner, VolumeBindingMode: &now}
		edit(class)
		_, err := c.StorageV1().StorageClasses().Create(t.Context(), class, metav1.CreateOptions{})
		c.must(err)
	}
	plain, options, parameters, gold := "plain", "options", "parameters", "gold"
	for name, x := range map[string]struct {
		class *string
		edit  func(*v1.PersistentVolumeClaimSpec)
		want  string
	}{
		"copy": {&plain, func(s *v1.PersistentVolumeClaimSpec) {
			s.DataSource = &v1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "other"}
		}, "Only CSI plugin can provision a claim with a datasource"},
		"filled": {&plain, func(s *v1.PersistentVolumeClaimSpec) {
			group := "a.b"
			s.DataSourceRef = &v1.TypedObjectReference{APIGroup: &group, Kind: "Image", Name: "other"}
		}, "Only CSI plugin can provision a claim with a datasource"},
		"fast":      {&plain, func(s *v1.PersistentVolumeClaimSpec) { s.VolumeAttributesClassName = &gold }, "has no volume attributes classes"},
		"mounted":   {&options, func(*v1.PersistentVolumeClaimSpec) {}, `Mount options are not supported by the provisioner but StorageClass "options" has mount options [noatime]`},
		"formatted": {&parameters, func(*v1.PersistentVolumeClaimSpec) {}, `invalid option "fsType" for volume plugin wheelhouse.dev/host-path`},
	} {
		spec := v1.PersistentVolumeClaimSpec{
			StorageClassName: x.class, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
		}
		x.edit(&spec)
		_, err := c.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
		c.must(err)
		c.expectEvent(name, "ProvisioningFailed", x.want)
		c.expectClaim(name, v1.ClaimPending, "")
	}
	// The class of a volume that is there cannot change, either.
	c.claimOf("data", &plain)
	claim := c.boundClaim("data")
	claim.Spec.VolumeAttributesClassName = &gold
	_, err := c.CoreV1().PersistentVolumeClaims("default").Update(t.Context(), claim, metav1.UpdateOptions{})
	c.must(err)
	c.expectEvent("data", "VolumeModifyFailed", `"gold" is not applied`)
}

func TestProvisionedVolumeGrowsAndIsRetained(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	retain, now := v1.PersistentVolumeReclaimRetain, storagev1.VolumeBindingImmediate
	_, err := c.StorageV1().StorageClasses().Create(t.Context(), &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "kept"}, Provisioner: persistentvolume.Provisioner, ReclaimPolicy: &retain, VolumeBindingMode: &now,
	}, metav1.CreateOptions{})
	c.must(err)
	kept := "kept"
	c.claimOf("data", &kept)
	claim := c.boundClaim("data")
	claim.Spec.Resources.Requests[v1.ResourceStorage] = resource.MustParse("2Gi")
	_, err = c.CoreV1().PersistentVolumeClaims("default").Update(t.Context(), claim, metav1.UpdateOptions{})
	c.must(err)
	wait.For(c.t, "2Gi", func() error {
		got, err := c.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "data", metav1.GetOptions{})
		c.must(err)
		if has := got.Status.Capacity[v1.ResourceStorage]; has.String() != "2Gi" {
			return wait.Seen(false, has.String())
		}
		return nil
	})
	pv := claim.Spec.VolumeName
	c.must(c.CoreV1().PersistentVolumeClaims("default").Delete(t.Context(), "data", metav1.DeleteOptions{}))
	c.expectVolume(pv, v1.VolumeReleased)
	c.must(c.CoreV1().PersistentVolumes().Delete(t.Context(), pv, metav1.DeleteOptions{}))
	wait.For(c.t, "the volume gone", func() error {
		got, err := c.CoreV1().PersistentVolumes().Get(t.Context(), pv, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return wait.Seen(false, got, err)
	})
}
