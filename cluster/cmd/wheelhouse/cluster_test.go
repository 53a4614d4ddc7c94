//go:build !quick

package main_test

import (
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// kubectl that waits for a server ends at the signals that end the machine's own kubectl.
func TestKubectlEndsAtASignal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			silent, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			kubectl := exec.Command(binary, "kubectl", "--server", "http://"+silent.Addr().String(), "get", "--raw", "/version")
			if err := kubectl.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = kubectl.Process.Kill() })
			c, err := silent.Accept() // it waits for the answer now
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := kubectl.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = kubectl.Wait() // its state tells
			}()
			select {
			case <-ended:
				if status := kubectl.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != signal {
					t.Errorf("it has ended with %v", kubectl.ProcessState)
				}
			case <-time.After(time.Minute):
				t.Error("it waits on")
			}
		})
	}
}
