//go:build !quick

package kubelet_test

import (
	"os/exec"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A container is made with the signal that its lifecycle names, and its stdin is closed after the first client where it says so. For an
// ephemeral container the same code does it, from the same fields of EphemeralContainer.
func TestStopSignalAndStdinOnce(t *testing.T) {
	n := newNode(t)
	p := pod("signalled", "trap exit USR1; sleep 1000 & wait")
	c := &p.Spec.Containers[0]
	signal := v1.SIGUSR1
	c.Lifecycle, c.Stdin, c.StdinOnce = &v1.Lifecycle{StopSignal: &signal}, true, true
	n.create(p)
	id := containerID(n.wait("signalled", "Ready", isReady))
	out, err := exec.Command("docker", "inspect", "-f", "{{.Config.StopSignal}} {{.Config.StdinOnce}}", id).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "SIGUSR1 true" {
		t.Errorf("%s, %v; want SIGUSR1 true", got, err)
	}
	n.delete("signalled")
}
