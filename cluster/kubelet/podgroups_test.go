package kubelet

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
)

// The groups of pods are found in each class, in cgroupfs and as slices, and those of one pod can be removed when
// nothing but its uid is known.
func TestPodGroups(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), nil, 0o644); err != nil { // as version 2 has it
		t.Fatal(err)
	}
	const above = "/wheelhouse.slice/wheelhouse-c.slice/wheelhouse-c-n_1.slice/wheelhouse-c-n_1-kubepods.slice"
	for _, dir := range []string{
		"/wheelhouse/c/n-1/kubepods/poda-1/container", "/wheelhouse/c/n-1/kubepods/burstable/podb-1", "/wheelhouse/c/n-1/kubepods/besteffort/podc-1/x",
		"/wheelhouse/c/n-2/kubepods/podother",
		above + "/wheelhouse-c-n_1-kubepods-podd_1.slice",
		above + "/wheelhouse-c-n_1-kubepods-besteffort.slice/wheelhouse-c-n_1-kubepods-besteffort-pode_1.slice/docker-x.scope",
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	k := &Kubelet{config: Config{Cluster: "c", NodeName: "n-1"}, usage: usage{groups: cgroup.At(root)}}
	found := func() []types.UID { return slices.Sorted(maps.Keys(k.podGroups())) }
	if got := found(); !slices.Equal(got, []types.UID{"a-1", "b-1", "c-1", "d-1", "e-1"}) {
		t.Errorf("groups of the pods %v", got)
	}
	for _, uid := range []string{"a-1", "c-1", "gone"} {
		w := &worker{k: k, ref: cri.PodRef{UID: uid}, log: slog.New(slog.DiscardHandler), input: newInput(&v1.Pod{})}
		if err := w.removeGroups(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := found(); !slices.Equal(got, []types.UID{"b-1", "d-1", "e-1"}) {
		t.Errorf("left are the groups of the pods %v", got)
	}
	if _, err := os.Stat(filepath.Join(root, "/wheelhouse/c/n-2/kubepods/podother")); err != nil {
		t.Errorf("another node's group: %v", err)
	}
}
