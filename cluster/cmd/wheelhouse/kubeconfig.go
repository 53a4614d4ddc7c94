package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	terminal "golang.org/x/term"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/machine"
	"wheelhouse/lab-runner/runner"
)

// kubeConfigCommand is the command of the package's link kube-config.
func kubeConfigCommand() *cobra.Command {
	cfg := machine.OnThisMachine()
	cfg.Terminal = terminal.IsTerminal(int(os.Stdin.Fd()))
	return machine.Command(machine.New(cfg), masterToken)
}

// masterToken creates a token that so many nodes may join with, within a day.
func masterToken(c *cobra.Command, kubeconfig string, nodes int) (server, token string, err error) {
	if existing(kubeconfig) == "" {
		return "", "", errors.New("this machine is no master: run this on the master")
	}
	rc, err := client.FromKubeconfig(kubeconfig)
	if err != nil {
		return "", "", err
	}
	cs, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return "", "", err
	}
	if nodes < 1 {
		return "", "", errors.New("--count: want at least 1")
	}
	token, pin, err := createToken(c.Context(), rc, cs, tokenLimits{life: 24 * time.Hour, count: nodes})
	return rc.Host, token + "@" + pin, err
}

// labCommand is the command of the package's link lab.
func labCommand() *cobra.Command {
	c := runner.Command(runner.WithKubeconfig(kubeconfig))
	c.SilenceUsage, c.SilenceErrors = true, true
	return c
}
