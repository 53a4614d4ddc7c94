package docker

import (
	"slices"
	"testing"

	"wheelhouse/cluster/kubelet/cri"
)

// The signal that stops a container and the parts of its SELinux label come to the engine.
func TestTranslate(t *testing.T) {
	r := &Runtime{}
	config, host := r.translate(&cri.Spec{StopSignal: "SIGUSR1", SELinux: []string{"level:s0:c1,c2", "type:spc_t"}, NoNewPrivileges: true}, &daemon{})
	if config.StopSignal != "SIGUSR1" {
		t.Errorf("stop signal %q", config.StopSignal)
	}
	if want := []string{"no-new-privileges", "label=level:s0:c1,c2", "label=type:spc_t"}; !slices.Equal(host.SecurityOpt, want) {
		t.Errorf("security options %v, want %v", host.SecurityOpt, want)
	}
}
