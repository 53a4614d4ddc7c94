package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	terminal "golang.org/x/term"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/machine"
	"wheelhouse/cluster/pairing"
	"wheelhouse/lab-runner/runner"
	"wheelhouse/lab-runner/why"
)

// kubeConfigCommand is the command of the package's link kube-config.
func kubeConfigCommand() *cobra.Command {
	cfg := machine.OnThisMachine()
	cfg.Terminal = terminal.IsTerminal(int(os.Stdin.Fd()))
	return machine.Command(machine.New(cfg), machine.Issuer{Token: masterToken, Code: masterCode, Register: registerCode, Class: newClass})
}

// masterToken creates a token that so many nodes may join with.
func masterToken(ctx context.Context, kubeconfig string, nodes int, life time.Duration) (server, token string, err error) {
	rc, cs, err := asOwner(kubeconfig)
	if err != nil {
		return "", "", err
	}
	token, pin, err := createToken(ctx, rc, cs, tokenLimits{life: life, count: nodes})
	return rc.Host, token + "@" + pin, err
}

// masterCode creates a pairing code that so many nodes may join with.
func masterCode(ctx context.Context, kubeconfig string, nodes int, life time.Duration) (string, error) {
	rc, cs, err := asOwner(kubeconfig)
	if err != nil {
		return "", err
	}
	code, err := createCode(ctx, rc, cs, tokenLimits{life: life, count: nodes})
	if err != nil {
		return "", err
	}
	return code.String(), nil
}

// registerCode makes a code of newClass valid at the master that has the class's authority.
func registerCode(ctx context.Context, kubeconfig, text string, nodes int, life time.Duration) error {
	rc, cs, err := asOwner(kubeconfig)
	if err != nil {
		return err
	}
	code, err := pairing.Parse(text)
	if err != nil {
		return err
	}
	authority, err := client.ParseCA(rc.CAData)
	if err != nil {
		return err
	}
	if !code.Pins(authority) {
		return errors.New("the code is of another master: a worker that has it would not join this one")
	}
	return ensureCode(ctx, cs, code, tokenLimits{life: life, count: nodes})
}

// newClass makes the authority of a master that is not set up yet.
func newClass(pkiDir string) (string, error) {
	keys, err := pki.Open(pkiDir, "wheelhouse")
	if err != nil {
		return "", err
	}
	authority, err := client.ParseCA(keys.CertPEM())
	if err != nil {
		return "", err
	}
	code, err := pairing.New(authority)
	return code.String(), err
}

// asOwner connects to the master of this machine.
func asOwner(kubeconfig string) (*rest.Config, kubernetes.Interface, error) {
	if existing(kubeconfig) == "" {
		return nil, nil, errors.New("this machine is no master: run this on the master")
	}
	rc, err := client.FromKubeconfig(kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	cs, err := kubernetes.NewForConfig(rc)
	return rc, cs, err
}

// labCommand is the command of the package's link lab.
func labCommand() *cobra.Command {
	c := labs()
	c.SilenceUsage, c.SilenceErrors = true, true
	return c
}

// labs is lab with why, as lab-runner/cmd/lab has it.
func labs() *cobra.Command {
	c := runner.Command(runner.WithKubeconfig(kubeconfig), runner.WithWhy(why.Namespace))
	c.AddCommand(why.Command(kubeconfig, runner.CurrentNamespace))
	return c
}

// whyPlugin is the command of the link kubectl-why.
func whyPlugin() *cobra.Command {
	c := why.Command(kubeconfig, nil)
	c.SilenceUsage, c.SilenceErrors = true, true
	return c
}
