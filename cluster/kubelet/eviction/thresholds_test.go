package eviction

import "testing"

func TestThresholds(t *testing.T) {
	all, err := ParseThresholds(DefaultHard)
	if err != nil || len(all) != 5 || all[0].Amount(0) != 100<<20 || all[1].Amount(1000) != 100 {
		t.Errorf("defaults: %+v, %v", all, err)
	}
	if all, err := ParseThresholds("imagefs.available<0%,nodefs.available<1Gi"); err != nil || len(all) != 1 || all[0].Signal != SignalNodeFS {
		t.Errorf("switched off: %+v, %v", all, err)
	}
	for _, bad := range []string{"memory.available", "memory<1Gi", "memory.available<x", "memory.available<-1Gi", "nodefs.available<100%", "pid.available<1,pid.available<2"} {
		if _, err := ParseThresholds(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
