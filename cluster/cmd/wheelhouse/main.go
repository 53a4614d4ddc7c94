// Command wheelhouse is the whole orchestrator in one binary: the control plane,
// the node, a local cluster of several nodes, the labs, and kubectl.
//
// This package reads flags, wires packages and exits; nothing else is here. It has more than thirty files, as
// each subcommand has its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"wheelhouse/cluster/unit"
	"wheelhouse/lab-runner/journey"
	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/why"
)

func main() {
	name, command := filepath.Base(os.Args[0]), root
	switch name {
	case "kubectl":
		runKubectl(os.Args[1:])
	case "lab":
		command = labCommand
	case "kube-config":
		command = kubeConfigCommand
	case "kubectl-why": // as a plugin: `kubectl why`
		command = whyPlugin
	default:
		name = "wheelhouse"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(name, err))
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:                        "wheelhouse",
		Version:                    version,
		Short:                      "A small orchestrator that speaks the Kubernetes API, and the workshop that teaches it",
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		Args:                       knownCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			err := c.Help()
			fmt.Fprintln(c.OutOrStdout(), "\nTo begin: 'wheelhouse up' starts a cluster on this machine, then 'wheelhouse lab'\nopens the labs: learn by steps, from the first pod on.")
			return err
		},
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; `%s --help` lists the flags", err, c.CommandPath())
	})
	c.AddGroup(&cobra.Group{ID: "cluster", Title: "A cluster on this machine:"},
		&cobra.Group{ID: "learn", Title: "The workshop:"},
		&cobra.Group{ID: "parts", Title: "The components, for several machines or one alone:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, sub := range commands {
			sub.GroupID = group
			c.AddCommand(sub)
		}
	}
	add("cluster", upCommand(), downCommand(), statusCommand(), doctorCommand(), sshCommand(), kubeconfigCommand(), kubectlCommand(), unit.Command(), uninstallCommand())
	add("learn", classroomCommand(), labs(), slidesCommand(), bundleCommand(), why.Command(kubeconfig, nil), journey.Command(kubeconfig))
	add("parts", serverCommand(), nodeCommand(), tokenCommand(), certsCommand(), secretsCommand(), etcdCommand(), snapshotCommand(), apiserverCommand(), controllerManagerCommand(), schedulerCommand(), kubeletCommand(), proxyCommand(), dnsCommand(), ingressCommand())
	return c
}

// knownCommand returns an error for arguments that are no command.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no command %q; `%s --help` lists them", args[0], c.CommandPath())
}

func exitCode(program string, err error) int {
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	}
	fmt.Fprintln(os.Stderr, program+":", render.Visible(err.Error())) // an error may have the text of a lab or of an object
	return 1
}
