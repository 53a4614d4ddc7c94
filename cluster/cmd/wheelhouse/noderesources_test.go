package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/docker"
)

func TestNodeResourceFlags(t *testing.T) {
	parse := func(args ...string) (kubelet.Config, error) {
		t.Helper()
		var r nodeResources
		f := pflag.NewFlagSet("node", pflag.ContinueOnError)
		r.register(f)
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		var c kubelet.Config
		return c, errors.Join(r.apply(&c), r.logs(&docker.Config{}))
	}
	c, err := parse("--capacity=memory=1Gi", "--kube-reserved=memory=100Mi,cpu=100m", "--system-reserved=memory=28Mi", "--eviction-hard=memory.available<10%")
	if err != nil {
		t.Fatal(err)
	}
	reserved := c.Reserved[v1.ResourceMemory]
	if reserved.String() != "128Mi" || len(c.Eviction.Hard) != 1 || c.Eviction.Hard[0].Share != 0.1 || c.GC.ImagesHigh != 85 {
		t.Errorf("%+v", c)
	}
	for _, bad := range []struct{ arg, says string }{
		{"--capacity=memory=much", "want a quantity"},
		{"--eviction-hard=memory.available", "want signal<quantity"},
		{"--eviction-hard=memory.free<1Gi", "is not known"},
		{"--eviction-hard=memory.available<110%", "is not a percentage"},
		{"--eviction-soft=memory.available<1Gi", "needs a grace period"},
		{"--eviction-soft-grace-period=memory.available=1m", "no threshold"},
		{"--eviction-minimum-reclaim=disk=1Gi", "is not known"},
		{"--container-log-max-size=big", "want a quantity"},
		{"--container-log-max-files=1", "at least 2"},
		{"--image-gc-low-threshold=90", "--image-gc-low-threshold < --image-gc-high-threshold"},
	} {
		if _, err := parse(bad.arg); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v, want %q", bad.arg, err, bad.says)
		}
	}
}
