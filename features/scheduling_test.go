package features_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/cucumber/godog"
)

// schedulerEnds is how long a scheduler that was stopped may take.
const schedulerEnds = 10 * time.Second

func (p *platform) registerScheduling(sc *godog.ScenarioContext) {
	var running []*exec.Cmd
	sc.Step(`^a scheduler named "([^"]+)" is started$`, func(name string) error {
		cmd := exec.Command(p.cluster.program, "scheduler", "--kubeconfig", p.cluster.kubeconfig, "--scheduler-name", name)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = schedulerEnds
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting a scheduler: %w", err)
		}
		running = append(running, cmd)
		return nil
	})
	sc.After(func(ctx context.Context, _ *godog.Scenario, _ error) (context.Context, error) {
		for _, cmd := range running {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				return ctx, fmt.Errorf("%w: %v", err, cmd.Stderr)
			}
		}
		return ctx, nil
	})
}
