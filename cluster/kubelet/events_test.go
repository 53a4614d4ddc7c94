package kubelet

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/server"
)

// A probe whose outcome changes all the time does not drive out the steps of its pod.
func TestRecordsOfProbesAndSteps(t *testing.T) {
	log := journal.New()
	w := &worker{k: &Kubelet{config: Config{Journal: log}}, ref: cri.PodRef{UID: "uid-1"}}
	w.recordStep(time.Now(), nil, "sandbox created")
	for i := range 5 * journal.MostEntries {
		w.recordProbe(time.Now(), fmt.Sprintf("probe %d", i), "status 503")
	}
	w.recordStep(time.Now(), errors.New("no such image"), "image of container c is present")
	if steps := log.Of("uid-1"); len(steps) != 2 || steps[0].Step != "sandbox created" || steps[1].Refused != "no such image" {
		t.Errorf("steps: %+v", steps)
	}
	probes := log.Of(server.ProbesOf("uid-1"))
	if last := probes[len(probes)-1]; len(probes) != journal.MostEntries || last.Step != "probe 59" || last.Refused != "status 503" || last.Component != "kubelet" {
		t.Errorf("probes: %+v", probes)
	}
}
