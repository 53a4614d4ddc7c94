package features_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cucumber/godog"
)

func (p *platform) registerSnapshots(sc *godog.ScenarioContext) {
	sc.Step(`^a restore of snapshot "([^"]+)" is killed when "([^"]+)" appears, and the cluster is brought up again$`, p.killRestore)
}

// killRestore kills a restore as soon as a file is in the cluster's directory, or when it has ended.
func (p *platform) killRestore(ctx context.Context, name, file string) error {
	cmd := exec.CommandContext(ctx, p.cluster.program, "snapshot", "restore", "--name", p.cluster.name, name)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for at := filepath.Join(filepath.Dir(p.cluster.kubeconfig), file); ; {
		if _, err := os.Lstat(at); err == nil {
			break
		}
		select {
		case err := <-ended:
			return fmt.Errorf("%s was never seen, and the restore has ended (%w): %s", file, err, &said)
		case <-time.After(time.Millisecond):
		}
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-ended; err == nil {
		return fmt.Errorf("the restore ended before it was killed at %s: %s", file, &said)
	}
	return p.up(ctx)
}
