package scheduler

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// TestWishes goes through what pods can ask for, with nodes a and b, of which only one
// (or none) will do.
func TestWishes(t *testing.T) {
	web := map[string]string{"app": "web"}
	edit := func(f func(*v1.Pod)) func(*v1.Pod) { return f }
	affinity := func(anti bool, change func(*v1.PodAffinityTerm)) func(*v1.Pod) {
		return func(p *v1.Pod) {
			podAffinity(anti, v1.LabelHostname, web)(p)
			if anti {
				change(&p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0])
			} else {
				change(&p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0])
			}
		}
	}
	constraint := func(change func(*v1.TopologySpreadConstraint)) func(*v1.Pod) {
		return func(p *v1.Pod) {
			spreadBy(v1.LabelHostname, 1, web)(p)
			change(&p.Spec.TopologySpreadConstraints[0])
		}
	}
	in := func(ns string) func(*v1.Pod) { return func(p *v1.Pod) { p.Namespace = ns } }
	tests := []struct {
		name string
		node func(*v1.Node) // changes a
		pods []*v1.Pod
		pod  *v1.Pod
		want string // or the reason why neither will do
	}{
		{"two containers together", nil, []*v1.Pod{makePod("x", on("a"), requests("cpu", "3"))}, makePod("p", requests("cpu", "1"), edit(func(p *v1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, *p.Spec.Containers[0].DeepCopy())
		})), "b"},
		{"the largest init container", nil, []*v1.Pod{makePod("x", on("a"), requests("cpu", "3"))}, makePod("p", edit(func(p *v1.Pod) {
			p.Spec.InitContainers = []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("2")}}}}
		})), "b"},
		{"a sidecar beside the containers", nil, []*v1.Pod{makePod("x", on("a"), requests("cpu", "3"))}, makePod("p", requests("cpu", "600m"), edit(func(p *v1.Pod) {
			p.Spec.InitContainers = []v1.Container{{
				RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways),
				Resources:     v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("600m")}},
			}}
		})), "b"},
		{"overhead", nil, []*v1.Pod{makePod("x", on("a"), requests("cpu", "3"))}, makePod("p", requests("cpu", "600m"), edit(func(p *v1.Pod) {
			p.Spec.Overhead = v1.ResourceList{v1.ResourceCPU: resource.MustParse("600m")}
		})), "b"},
		{
			"ephemeral storage", func(n *v1.Node) { n.Status.Allocatable[v1.ResourceEphemeralStorage] = resource.MustParse("1Gi") }, nil,
			makePod("p", requests(v1.ResourceEphemeralStorage, "1Gi")), "a",
		},
		{"ephemeral storage that nobody has", nil, nil, makePod("p", requests(v1.ResourceEphemeralStorage, "1Gi")), "2 Insufficient ephemeral-storage"},
		{"an extended resource that nobody has", nil, nil, makePod("p", requests("example.com/dongle", "1")), "2 Insufficient example.com/dongle"},
		{"the same port at another address", nil, []*v1.Pod{
			makePod("x", on("a"), port(80)), makePod("y", on("b"), port(80), edit(func(p *v1.Pod) { p.Spec.Containers[0].Ports[0].HostIP = "10.0.0.1" })),
		}, makePod("p", port(80), edit(func(p *v1.Pod) { p.Spec.Containers[0].Ports[0].HostIP = "10.0.0.2" })), "b"},
		{"the same port of another protocol", nil, []*v1.Pod{
			makePod("x", on("a"), port(53)), makePod("y", on("b"), port(53), edit(func(p *v1.Pod) { p.Spec.Containers[0].Ports[0].Protocol = v1.ProtocolUDP })),
		}, makePod("p", port(53)), "b"},
		{"a port of a sidecar", nil, []*v1.Pod{makePod("x", on("a"), edit(func(p *v1.Pod) {
			p.Spec.InitContainers = []v1.Container{{
				RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways), Ports: []v1.ContainerPort{{ContainerPort: 80, HostPort: 80}},
			}}
		}))}, makePod("p", port(80)), "b"},
		{"a toleration of one value", taint("k", "v", v1.TaintEffectNoSchedule), nil, makePod("p", edit(func(p *v1.Pod) {
			p.Spec.Tolerations = []v1.Toleration{{Key: "k", Operator: v1.TolerationOpEqual, Value: "other"}}
		})), "b"},
		{"a taint that evicts keeps away too", taint("k", "", v1.TaintEffectNoExecute), nil, makePod("p"), "b"},
		{"a toleration of another effect", taint("k", "", v1.TaintEffectNoExecute), nil, makePod("p", edit(func(p *v1.Pod) {
			p.Spec.Tolerations = []v1.Toleration{{Key: "k", Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoSchedule}}
		})), "b"},
		{"a node that is preferred less", taint("k", "", v1.TaintEffectPreferNoSchedule), nil, makePod("p"), "b"},
		{
			"pods of the pod's own namespace", nil,
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web"), in("other"))},
			makePod("p", affinity(false, func(*v1.PodAffinityTerm) {})), "2 node(s) didn't match pod affinity rules",
		},
		{
			"pods of a namespace by name", nil,
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web"), in("other"))},
			makePod("p", affinity(false, func(t *v1.PodAffinityTerm) { t.Namespaces = []string{"other"} })), "a",
		},
		{
			"pods of namespaces by label", nil,
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web"), in("other")), makePod("y", on("b"), podLabel("app", "web"))},
			makePod("p", affinity(false, func(t *v1.PodAffinityTerm) {
				t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "blue"}}
			})), "a",
		},
		{
			"pods of all namespaces", nil,
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web"), in("other"))},
			makePod("p", affinity(true, func(t *v1.PodAffinityTerm) { t.NamespaceSelector = &metav1.LabelSelector{} })), "b",
		},
		{"pods of the same version", nil, []*v1.Pod{
			makePod("x", on("a"), podLabel("app", "web"), podLabel("version", "1")), makePod("y", on("b"), podLabel("app", "web"), podLabel("version", "2")),
		}, makePod("p", podLabel("version", "2"), affinity(false, func(t *v1.PodAffinityTerm) { t.MatchLabelKeys = []string{"version"} })), "b"},
		{"pods of other versions", nil, []*v1.Pod{
			makePod("x", on("a"), podLabel("app", "web"), podLabel("version", "1")), makePod("y", on("b"), podLabel("app", "web"), podLabel("version", "2")),
		}, makePod("p", podLabel("version", "2"), affinity(false, func(t *v1.PodAffinityTerm) { t.MismatchLabelKeys = []string{"version"} })), "a"},
		{"the versions of a constraint", nil, []*v1.Pod{
			makePod("x", on("a"), podLabel("app", "web"), podLabel("version", "1")), makePod("y", on("a"), podLabel("app", "web"), podLabel("version", "1")),
			makePod("z", on("b"), podLabel("app", "web"), podLabel("version", "2")),
		}, makePod("p", podLabel("app", "web"), podLabel("version", "2"), constraint(func(c *v1.TopologySpreadConstraint) { c.MatchLabelKeys = []string{"version"} })), "a"},
		{
			"a domain that the taint closes counts as empty", taint("k", "", v1.TaintEffectNoSchedule),
			[]*v1.Pod{makePod("x", on("b"), podLabel("app", "web"))},
			makePod("p", podLabel("app", "web"), constraint(func(*v1.TopologySpreadConstraint) {})), "1 node(s) didn't match pod topology spread constraints",
		},
		{
			"unless taints are honoured", taint("k", "", v1.TaintEffectNoSchedule),
			[]*v1.Pod{makePod("x", on("b"), podLabel("app", "web"))},
			makePod("p", podLabel("app", "web"), constraint(func(c *v1.TopologySpreadConstraint) {
				c.NodeTaintsPolicy = ptr.To(v1.NodeInclusionPolicyHonor)
			})), "b",
		},
		{
			"a domain that the selector leaves out does not count", nodeLabel("disk", "ssd"),
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web"))},
			makePod("p", podLabel("app", "web"), edit(func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }),
				constraint(func(*v1.TopologySpreadConstraint) {})), "a",
		},
		{
			"unless it is ignored", nodeLabel("disk", "ssd"),
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web"))},
			makePod("p", podLabel("app", "web"), edit(func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }),
				constraint(func(c *v1.TopologySpreadConstraint) { c.NodeAffinityPolicy = ptr.To(v1.NodeInclusionPolicyIgnore) })),
			"1 node(s) didn't match pod topology spread constraints",
		},
		{
			"fewer domains than wanted", nil,
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web")), makePod("y", on("b"), podLabel("app", "web"))},
			makePod("p", podLabel("app", "web"), constraint(func(c *v1.TopologySpreadConstraint) { c.MinDomains = ptr.To[int32](3) })),
			"2 node(s) didn't match pod topology spread constraints",
		},
		{
			"a soft constraint", nil,
			[]*v1.Pod{makePod("x", on("a"), podLabel("app", "web"))},
			makePod("p", podLabel("app", "web"), constraint(func(c *v1.TopologySpreadConstraint) { c.WhenUnsatisfiable = v1.ScheduleAnyway })), "b",
		},
		{
			"no such label", nil, nil, makePod("p", podLabel("app", "web"), constraint(func(c *v1.TopologySpreadConstraint) { c.TopologyKey = "rack" })),
			"2 node(s) didn't match pod topology spread constraints (missing required label)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := makeNode("a")
			if tt.node != nil {
				tt.node(a)
			}
			c := makeCluster([]*v1.Node{a, makeNode("b")}, tt.pods...)
			c.namespaces["other"] = labels.Set{"team": "blue"}
			expectPick(t, newRequest(c, newPodInfo(tt.pod), nil, nil), tt.want)
		})
	}
}

// expectPick wants a node, or a refusal that names the reason among others.
func expectPick(t *testing.T, r *request, want string) {
	t.Helper()
	n, err := r.pick()
	switch {
	case err != nil:
		if !strings.Contains(err.Error(), want) {
			t.Errorf("refused: %v\nwanted: %s", err, want)
		}
	case n.name != want:
		t.Errorf("on %s, wanted %s", n.name, want)
	}
}

func TestWaitingClaims(t *testing.T) {
	wait := storagev1.VolumeBindingWaitForFirstConsumer
	class := func(provisioner string, zones ...string) *storagev1.StorageClass {
		s := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Provisioner: provisioner, VolumeBindingMode: &wait}
		if len(zones) > 0 {
			s.AllowedTopologies = []v1.TopologySelectorTerm{{MatchLabelExpressions: []v1.TopologySelectorLabelRequirement{{Key: v1.LabelHostname, Values: zones}}}}
		}
		return s
	}
	claim := func(size string, edit ...func(*v1.PersistentVolumeClaim)) *v1.PersistentVolumeClaim {
		c := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "claim-" + size}, Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: ptr.To("late"), AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}},
		}}
		for _, e := range edit {
			e(c)
		}
		return c
	}
	free := func(name, node, size string) *v1.PersistentVolume {
		pv := localVolume(node)
		pv.Name, pv.Spec.StorageClassName = name, "late"
		pv.Spec.Capacity = v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}
		pv.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}
		pv.Status.Phase = v1.VolumeAvailable
		return pv
	}
	selected := func(c *v1.PersistentVolumeClaim) {
		c.Annotations = map[string]string{"volume.kubernetes.io/selected-node": "b"}
	}
	none := "2 node(s) didn't find available persistent volumes to bind"
	byHand := class("kubernetes.io/no-provisioner")
	tests := []struct {
		name   string
		class  *storagev1.StorageClass
		claims []*v1.PersistentVolumeClaim
		pvs    []*v1.PersistentVolume
		want   string
	}{
		{"the node that has the volume", byHand, []*v1.PersistentVolumeClaim{claim("1Gi")}, []*v1.PersistentVolume{free("x", "b", "1Gi")}, "b"},
		{"no volume", byHand, []*v1.PersistentVolumeClaim{claim("1Gi")}, nil, none},
		{"too small", byHand, []*v1.PersistentVolumeClaim{claim("2Gi")}, []*v1.PersistentVolume{free("x", "b", "1Gi")}, none},
		{"one volume for two claims", byHand, []*v1.PersistentVolumeClaim{claim("1Gi"), claim("2Gi")}, []*v1.PersistentVolume{free("x", "b", "2Gi")}, none},
		{
			"the small claim leaves the large volume", byHand,
			[]*v1.PersistentVolumeClaim{claim("2Gi"), claim("1Gi")},
			[]*v1.PersistentVolume{free("x", "b", "2Gi"), free("y", "b", "1Gi")},
			"b",
		},
		{
			"two claims, volumes on two nodes", byHand,
			[]*v1.PersistentVolumeClaim{claim("1Gi"), claim("2Gi")},
			[]*v1.PersistentVolume{free("x", "a", "1Gi"), free("y", "b", "2Gi")},
			none,
		},
		{"promised to another", byHand, []*v1.PersistentVolumeClaim{claim("1Gi")}, []*v1.PersistentVolume{free("promised", "b", "1Gi")}, none},
		{"made where the class allows it", class("example.com/disk", "b"), []*v1.PersistentVolumeClaim{claim("1Gi")}, nil, "b"},
		{"made where it was asked for before", class("example.com/disk"), []*v1.PersistentVolumeClaim{claim("1Gi", selected)}, nil, "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			byName := map[string]*v1.PersistentVolumeClaim{}
			pod := makePod("p")
			for _, c := range tt.claims {
				byName[c.Name] = c
				pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{VolumeSource: v1.VolumeSource{
					PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: c.Name},
				}})
			}
			reader := claimReader{
				claim:   func(_, name string) (*v1.PersistentVolumeClaim, error) { return byName[name], nil },
				volumes: func(labels.Selector) ([]*v1.PersistentVolume, error) { return tt.pvs, nil },
				class:   func(string) (*storagev1.StorageClass, error) { return tt.class, nil },
			}
			claims, reason, err := reader.of(pod, map[string]bool{"promised": true})
			if reason != "" || err != nil {
				t.Fatal(reason, err)
			}
			c := makeCluster([]*v1.Node{makeNode("a"), makeNode("b")})
			expectPick(t, newRequest(c, newPodInfo(pod), claims, nil), tt.want)
		})
	}
}

func TestClaimForOnePod(t *testing.T) {
	withClaim := func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "own"}}}}
	}
	c := makeCluster([]*v1.Node{makeNode("a"), makeNode("b")}, makePod("x", on("a"), withClaim))
	claims := &podClaims{alone: []string{"default/own"}}
	expectPick(t, newRequest(c, newPodInfo(makePod("p", withClaim)), claims, nil),
		"2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode")
	c.removePod("x")
	c.removeNode("a")
	expectPick(t, newRequest(c, newPodInfo(makePod("p", withClaim)), claims, nil), "b")
}

func TestVolumeZones(t *testing.T) {
	zone := func(z string) func(*v1.Node) { return nodeLabel(v1.LabelTopologyZone, z) }
	c := makeCluster([]*v1.Node{makeNode("a", zone("1")), makeNode("b", zone("2"))})
	pv := func(zones string) *podClaims {
		return &podClaims{bound: []*v1.PersistentVolume{{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1.LabelTopologyZone: zones}}}}}
	}
	expectPick(t, newRequest(c, newPodInfo(makePod("p")), pv("2__3"), nil), "b")
	expectPick(t, newRequest(c, newPodInfo(makePod("p")), pv("4"), nil), "2 node(s) had no available volume zone")
}
