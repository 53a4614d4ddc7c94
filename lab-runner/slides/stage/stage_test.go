package stage_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/slides/stage"
)

// TestOnlyCommandsOfTheText runs commands without a cluster: those of the text get as far as it, the others do not.
func TestOnlyCommandsOfTheText(t *testing.T) {
	labs, err := catalog.Load("../../..")
	if err != nil {
		t.Fatal(err)
	}
	noCluster := errors.New("no cluster")
	s := stage.New(stage.Config{Labs: labs, Dir: t.TempDir(), Cluster: func(context.Context, *catalog.Lab) (*environment.Cluster, error) { return nil, noCluster }})
	defer func() {
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Run(t.Context(), "workshop/inspector/up-to-five", "kubectl scale rc inspector --replicas=5", io.Discard); !errors.Is(err, noCluster) {
		t.Errorf("a command of the text: %v", err)
	}
	for _, command := range []string{"kubectl scale rc inspector --replicas=50", "reboot", "", "kubectl get rc; reboot"} {
		if err := s.Run(t.Context(), "workshop/inspector", command, io.Discard); err == nil || errors.Is(err, noCluster) {
			t.Errorf("%q: %v", command, err)
		}
	}
	if err := s.Run(t.Context(), "workshop/none", "kubectl get rc", io.Discard); err == nil || errors.Is(err, noCluster) {
		t.Errorf("a lab that does not exist: %v", err)
	}
	if _, err := s.Map(t.Context(), "workshop/inspector"); err == nil || !strings.Contains(err.Error(), "nothing of the lab") {
		t.Errorf("the map before the first command: %v", err)
	}
}
