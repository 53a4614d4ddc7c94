package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet/cri"
)

// A new boot ID is reported once by a process; a node that is new has no earlier one.
func TestRebooted(t *testing.T) {
	events := record.NewFakeRecorder(10)
	client := fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	for _, boots := range [][]string{{"first", "first"}, {"second", "third"}} {
		n := New(Config{NodeName: "n1", Client: client, Recorder: events})
		for _, id := range boots {
			if err := n.report(t.Context(), &v1.NodeStatus{NodeInfo: v1.NodeSystemInfo{BootID: id}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(events.Events)
	var got []string
	for e := range events.Events {
		got = append(got, e)
	}
	if want := []string{"Warning Rebooted Node n1 has been rebooted, boot id: second"}; !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}
}

// Each condition that changes is an event of its own; what stays is none.
func TestTransitions(t *testing.T) {
	none, disk := &v1.NodeStatus{Conditions: conditions(nil, nil)}, &v1.NodeStatus{Conditions: conditions(nil, []v1.NodeConditionType{v1.NodeDiskPressure, v1.NodePIDPressure})}
	down := &v1.NodeStatus{Conditions: conditions(errors.New("no engine"), []v1.NodeConditionType{v1.NodeMemoryPressure})}
	for _, tt := range []struct {
		last, next *v1.NodeStatus
		want       []string
	}{
		{&v1.NodeStatus{}, none, []string{"NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID", "NodeReady"}},
		{none, none, nil},
		{none, disk, []string{"NodeHasDiskPressure", "NodeHasInsufficientPID"}},
		{disk, none, []string{"NodeHasNoDiskPressure", "NodeHasSufficientPID"}},
		{none, down, []string{"NodeHasInsufficientMemory", "NodeNotReady"}},
	} {
		if got := transitions(tt.last, tt.next); !slices.Equal(got, tt.want) {
			t.Errorf("%v, want %v", got, tt.want)
		}
	}
}

// A machine that is a copy of another one writes the same node. Each says so once.
func TestAnotherMachineOfTheSameName(t *testing.T) {
	status := func(ip, boot string) *v1.NodeStatus {
		return &v1.NodeStatus{
			Addresses: []v1.NodeAddress{{Type: v1.NodeHostName, Address: "n1"}, {Type: v1.NodeInternalIP, Address: ip}}, NodeInfo: v1.NodeSystemInfo{BootID: boot},
		}
	}
	own := status("10.245.1.3", "a")
	events := record.NewFakeRecorder(10)
	n := New(Config{NodeName: "n1", Recorder: events, Log: slog.New(slog.DiscardHandler)})
	for _, now := range []*v1.NodeStatus{own, status("10.245.1.4", "b"), own, status("10.245.1.3", "b"), own, status("10.245.1.4", "a"), status("10.245.1.4", "a"), own} {
		if err := n.noteRival(now, own); err != nil {
			t.Error(err)
		}
	}
	if err := n.noteRival(own, &v1.NodeStatus{}); err != nil { // nothing is reported yet
		t.Error(err)
	}
	close(events.Events)
	var got []string
	for e := range events.Events {
		got = append(got, e)
	}
	if len(got) != 3 || !strings.Contains(got[0], "another machine (address 10.245.1.4, boot ID b) runs as node n1: stop one") || !strings.Contains(got[1], "10.245.1.3, boot ID b") {
		t.Errorf("events %q", got)
	}
}

// Of two machines that run as one node, the first that finds the other's status again after its own ends.
func TestTwoMachinesOfTheSameName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		ended := make(chan error, 2)
		for _, boot := range []string{"a", "b"} {
			n := New(Config{NodeName: "n1", NodeIP: netip.MustParseAddr("10.0.0.1"), Client: client, Recorder: record.NewFakeRecorder(100), Runtime: idle{}, Kubelet: idle{}, Log: slog.New(slog.DiscardHandler)})
			n.boot = boot
			go func() { ended <- n.Run(t.Context()) }()
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if len(ended) != 1 {
			t.Fatalf("%d of two have ended", len(ended))
		}
		err := <-ended
		if err == nil || !strings.Contains(err.Error(), "another machine (address 10.0.0.1, boot ID ") {
			t.Errorf("it ended with %v", err)
		}
		time.Sleep(time.Hour)
		if len(ended) != 0 {
			t.Errorf("the other has ended, too: %v", <-ended)
		}
	})
}

// idle is a container runtime without images, and a kubelet without pressure.
type idle struct{}

func (idle) Version(context.Context) (string, error)     { return "docker://1", nil }
func (idle) Images(context.Context) ([]cri.Image, error) { return nil, nil }
func (idle) Watching() bool                              { return true }
func (idle) Pressures() []v1.NodeConditionType           { return nil }

// A node that was cut off is reported again as soon as it renews its lease: the node controller has set its conditions to Unknown.
func TestConditionsOfANodeThatWasCutOff(t *testing.T) {
	ready := func(s v1.ConditionStatus) v1.NodeStatus {
		return v1.NodeStatus{Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: s}, {Type: "Other", Status: v1.ConditionTrue}}}
	}
	reported := ready(v1.ConditionTrue)
	reported.Conditions = reported.Conditions[:1]
	for status, want := range map[v1.ConditionStatus]bool{v1.ConditionTrue: false, v1.ConditionUnknown: true, v1.ConditionFalse: true} {
		client := fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: ready(status)})
		n := New(Config{NodeName: "n1", Client: client})
		if got, err := n.stale(t.Context(), &reported); err != nil || got != want {
			t.Errorf("Ready is %s: reported again %v", status, got)
		}
	}
	// A copy that has ended leaves its address.
	was, is := ready(v1.ConditionTrue), ready(v1.ConditionTrue)
	was.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "10.0.0.1"}}
	is.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "10.0.0.2"}}
	n := New(Config{NodeName: "n1", Client: fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: is}), Recorder: record.NewFakeRecorder(10), Log: slog.New(slog.DiscardHandler)})
	if again, err := n.stale(t.Context(), &was); err != nil || !again {
		t.Error("the address of another machine stays")
	}
	if !conditionsDiffer(&v1.NodeStatus{}, &reported) {
		t.Error("a condition that was removed stays away")
	}
}

// The kubelet's annotations are written, those with an empty value removed, and others kept.
func TestAnnotations(t *testing.T) {
	client := fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Annotations: map[string]string{"a": "old", "gone": "x", "other": "y"}}})
	for _, name := range []string{"n1", "new"} {
		n := New(Config{NodeName: name, Client: client, Recorder: record.NewFakeRecorder(10), Annotations: map[string]string{"a": "1", "gone": ""}})
		for range 2 {
			if err := n.report(t.Context(), &v1.NodeStatus{}); err != nil {
				t.Fatal(err)
			}
		}
		node, err := client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"a": "1"}
		if name == "n1" {
			want["other"] = "y"
		}
		if !maps.Equal(node.Annotations, want) {
			t.Errorf("node %s: annotations %v, want %v", name, node.Annotations, want)
		}
	}
	updates := 0
	for _, a := range client.Actions() {
		if a.GetVerb() == "update" {
			updates++
		}
	}
	if updates != 1 {
		t.Errorf("%d updates, want one of the node that had others", updates)
	}
}

func TestExtendedResourcesAreKept(t *testing.T) {
	one, two := resource.MustParse("1"), resource.MustParse("2")
	node := v1.NodeStatus{
		Capacity:    v1.ResourceList{v1.ResourceCPU: one, "example.com/dongle": two},
		Allocatable: v1.ResourceList{v1.ResourceCPU: one, "example.com/dongle": one, "example.com/gone": one, "hugepages-2Mi": one},
	}
	mergeStatus(&node, &v1.NodeStatus{Capacity: v1.ResourceList{v1.ResourceCPU: two}, Allocatable: v1.ResourceList{v1.ResourceCPU: two}})
	want := v1.NodeStatus{
		Capacity:    v1.ResourceList{v1.ResourceCPU: two, "example.com/dongle": two},
		Allocatable: v1.ResourceList{v1.ResourceCPU: two, "example.com/dongle": two},
	}
	for _, x := range []struct{ got, want v1.ResourceList }{{node.Capacity, want.Capacity}, {node.Allocatable, want.Allocatable}} {
		if len(x.got) != len(x.want) {
			t.Errorf("got %v, want %v", x.got, x.want)
		}
		for name, q := range x.want {
			if got := x.got[name]; got.Cmp(q) != 0 {
				t.Errorf("%s: got %s, want %s", name, got.String(), q.String())
			}
		}
	}
}

// TestGivenResourcesBecomeAllocatable: whoever gives a node a resource writes its
// capacity only.
func TestGivenResourcesBecomeAllocatable(t *testing.T) {
	list := v1.ResourceList{"example.com/dongle": resource.MustParse("4")}
	client := fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: v1.NodeStatus{Capacity: list}})
	n := New(Config{NodeName: "n1", Client: client})
	if again, err := n.stale(t.Context(), &v1.NodeStatus{}); err != nil || !again {
		t.Error("a resource without an allocatable amount is not noticed")
	}
	node, err := client.CoreV1().Nodes().Get(t.Context(), "n1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Allocatable = list
	if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if again, err := n.stale(t.Context(), &v1.NodeStatus{}); err != nil || again {
		t.Error("what is allocatable already is reported again")
	}
}

// The status is a patch that says which node is meant and names no resourceVersion, so that it meets no
// conflict with controllers that write to the same Node; addresses replace those that are there.
func TestStatusIsAPatch(t *testing.T) {
	at := func(kind v1.NodeAddressType, ip string) v1.NodeAddress {
		return v1.NodeAddress{Type: kind, Address: ip}
	}
	before := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u", ResourceVersion: "7"}, Status: v1.NodeStatus{
		Addresses:  []v1.NodeAddress{at(v1.NodeInternalIP, "10.0.0.1"), at(v1.NodeInternalIP, "fd00::1")},
		Conditions: []v1.NodeCondition{{Type: "Ready", Status: "False"}, {Type: "Theirs", Status: "True"}},
	}}
	after := before.Status.DeepCopy()
	after.Addresses = []v1.NodeAddress{at(v1.NodeInternalIP, "10.0.0.2"), at(v1.NodeHostName, "n1")}
	after.Conditions[0].Status = v1.ConditionTrue
	patch, err := statusPatch(before, after)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(patch), "resourceVersion") || !strings.Contains(string(patch), `"uid":"u"`) {
		t.Errorf("the patch is %s", patch)
	}
	stored := before.DeepCopy() // a controller has written in between
	stored.ResourceVersion, stored.Spec.PodCIDR = "8", "10.246.0.0/24"
	data, err := json.Marshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = strategicpatch.StrategicMergePatch(data, patch, v1.Node{}); err != nil {
		t.Fatal(err)
	}
	var got v1.Node
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !equality.Semantic.DeepEqual(got.Status, *after) || got.Spec.PodCIDR != "10.246.0.0/24" || got.ResourceVersion != "8" {
		t.Errorf("after %s: %+v", patch, got)
	}
}
