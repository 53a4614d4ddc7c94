package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd/util"

	"wheelhouse/cluster/kubectl"
	"wheelhouse/cluster/local"
)

// clusterFlags say which of the clusters on this machine is meant.
type clusterFlags struct {
	name, stateDir string
	timeout        time.Duration // of commands that wait
}

func (f *clusterFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "name", defaultCluster(), "the cluster's name; also $WHEELHOUSE_CLUSTER")
	c.Flags().StringVar(&f.stateDir, "state-dir", local.DefaultStateDir, "has a directory for each cluster")
}

func (f *clusterFlags) config() local.Config {
	return local.Config{Name: f.name, StateDir: f.stateDir, Timeout: f.timeout}
}

// timeoutFlag is for commands that wait.
func (f *clusterFlags) timeoutFlag(c *cobra.Command, whatFor string) {
	c.Flags().DurationVar(&f.timeout, "timeout", local.DefaultTimeout, "how long "+whatFor+" may take; a slow machine needs more")
}

func upCommand() *cobra.Command {
	var f clusterFlags
	nodes := 2
	var class, isolated, sealed, hostAccess bool
	var serverArgs, nodeArgs, pool, networks []string
	var images imageMirror
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster on this machine, or its missing processes",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg := f.config()
			if f.timeout <= 0 { // which a Config takes for the default
				return fmt.Errorf("--timeout %s: want a duration such as 10m", f.timeout)
			}
			cfg.Nodes, cfg.ServerArgs, cfg.NodeArgs, cfg.AllowHostAccess = nodes, serverArgs, nodeArgs, hostAccess
			if c.Flags().Changed("class") {
				cfg.Class = &class
			}
			if c.Flags().Changed("load-balancer-pool") {
				cfg.Pool = &pool
			}
			if len(networks) > 0 {
				subnets, err := local.ParseSubnets(networks)
				if err != nil {
					return fmt.Errorf("--networks: %w", err)
				}
				cfg.Subnets = &subnets
			}
			if c.Flags().Changed("isolated") {
				cfg.Isolated = &isolated
			}
			if c.Flags().Changed("image-mirror") || c.Flags().Changed("image-mirror-ca") {
				found, err := images.forNodes()
				if err != nil {
					return err
				}
				cfg.Mirror = &found
			}
			if c.Flags().Changed("sealed") {
				cfg.Sealed = &sealed
			}
			return local.Up(c.Context(), cfg, c.OutOrStdout())
		},
	}
	f.register(c)
	f.timeoutFlag(c, "each step")
	c.Flags().IntVar(&nodes, "nodes", nodes, "number of minions; 0 is the control plane alone")
	c.Flags().BoolVar(&class, "class", false, "the cluster serves a class: its users are not trusted with its nodes; a later up without the flag keeps the setting")
	c.Flags().StringSliceVar(&pool, "load-balancer-pool", nil,
		"addresses of the nodes' network that services of type LoadBalancer get, such as 10.245.1.210-10.245.1.250; a later up without the flag keeps them")
	images.register(c.Flags())
	c.Flags().BoolVar(&isolated, "isolated", false, "nodes and pods reach nothing outside the cluster, and DNS answers no names of others; a later up without the flag keeps the setting")
	c.Flags().BoolVar(&sealed, "sealed", false, "who administers the cluster's API is not trusted with this machine: --class and --isolated, nodes that refuse what PodSecurity baseline does whatever the API admits, bounds of what it uses, and no further flags; for a new cluster, which stays sealed")
	c.Flags().StringSliceVar(&networks, "networks", nil, "the networks of nodes, pods and services of a new cluster, such as 172.29.1.0/24,172.30.0.0/16,172.31.0.0/16 (default: the first that are free below 10.0.0.0/8)")
	c.Flags().StringArrayVar(&serverArgs, "server-arg", nil, "a further flag of the server process, such as --server-arg=--audit-log-path=/var/log/audit.log; can be repeated")
	c.Flags().StringArrayVar(&nodeArgs, "node-arg", nil, "a further flag of the minions' node processes, such as --node-arg=--max-pods=20; can be repeated")
	c.Flags().BoolVar(&hostAccess, "allow-host-access", false, "allow connections from nodes and pods to this machine's own services")
	return c
}

func downCommand() *cobra.Command {
	var f clusterFlags
	keep := false
	c := &cobra.Command{
		Use:   "down",
		Short: "Stop a cluster and remove everything that it created on this machine",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg := f.config()
			cfg.KeepData = keep
			return errors.Join(f.downLearners(c.Context(), keep, c.OutOrStdout()), local.Down(c.Context(), cfg, c.OutOrStdout()))
		},
	}
	f.register(c)
	f.timeoutFlag(c, "the removal of containers")
	c.Flags().BoolVar(&keep, "keep-data", false, "keep keys, etcd's data, logs and the nodes' disks for the next up")
	return c
}

func statusCommand() *cobra.Command {
	var f clusterFlags
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "List the processes of a cluster, with their ids, addresses and states",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			state, err := local.Status(f.config())
			if err != nil {
				return err
			}
			if err := show(c.OutOrStdout(), output, state, state.Print); err != nil {
				return err
			}
			if !state.Healthy() {
				return errors.New("not every process runs; `wheelhouse up` starts what is missing")
			}
			return nil
		},
	}
	f.register(c)
	outputFlag(c, &output)
	return c
}

func doctorCommand() *cobra.Command {
	var f clusterFlags
	var output string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check what a cluster needs of this machine, with a remedy for what is missing",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			checks, err := local.Doctor(c.Context(), f.config())
			if err != nil {
				return err
			}
			print := func(w io.Writer) error { local.PrintChecks(w, checks); return nil }
			if err := show(c.OutOrStdout(), output, checks, print); err != nil {
				return err
			}
			if !local.Healthy(checks) {
				return errors.New("this machine cannot run a cluster yet; the remedies are above")
			}
			return nil
		},
	}
	f.register(c)
	outputFlag(c, &output)
	return c
}

func outputFlag(c *cobra.Command, output *string) {
	c.Flags().StringVarP(output, "output", "o", "text", "text or json")
}

func show(w io.Writer, output string, value any, print func(io.Writer) error) error {
	switch output {
	case "text":
		return print(w)
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	}
	return fmt.Errorf("--output %q: want text or json", output)
}

func sshCommand() *cobra.Command {
	var f clusterFlags
	c := &cobra.Command{
		Use:     "ssh NODE [-- COMMAND [ARG...]]",
		Short:   "Log in to a node, or run a command there",
		Example: "  wheelhouse ssh minion-1\n  wheelhouse ssh minion-1 -- ping -c 1 10.246.1.2",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			status, err := local.SSH(f.config(), args[0], args[1:], local.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
			if err != nil {
				return err
			}
			if status != 0 {
				return exitError{status}
			}
			return nil
		},
	}
	f.register(c)
	return c
}

func kubeconfigCommand() *cobra.Command {
	var f clusterFlags
	c := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of a cluster's kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path := local.KubeconfigPath(f.name, f.stateDir)
			if _, err := os.Stat(path); err != nil {
				return local.ErrNoCluster
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), path)
			return err
		},
	}
	f.register(c)
	return c
}

func kubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl ...",
		Short:              "The real kubectl, for the cluster of this machine ($WHEELHOUSE_CLUSTER)",
		DisableFlagParsing: true,
		Run: func(_ *cobra.Command, args []string) {
			signal.Reset(os.Interrupt, syscall.SIGTERM) // kubectl ends at them, or handles them itself
			runKubectl(args)
		},
	}
}

// runKubectl does not return: kubectl prints its own errors and chooses its exit status.
func runKubectl(args []string) {
	c, err := kubectl.Command(args, kubeconfig())
	if err != nil {
		fmt.Fprintln(os.Stderr, "wheelhouse:", err)
		os.Exit(1)
	}
	if err := cli.RunNoErrOutput(c); err != nil {
		util.CheckErr(err)
	}
	os.Exit(0)
}

// exitError is the exit status of a child process, which becomes ours.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }
