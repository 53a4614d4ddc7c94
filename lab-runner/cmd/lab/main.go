// Lab runs the labs on any cluster that a kubeconfig names. It contains no part of the
// cluster.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/runner"
	"wheelhouse/lab-runner/why"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := runner.Command(runner.WithWhy(why.Namespace))
	c.AddCommand(why.Command(nil, runner.CurrentNamespace))
	c.SilenceUsage, c.SilenceErrors = true, true
	err := c.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", render.Visible(err.Error()))
		os.Exit(1)
	}
}
