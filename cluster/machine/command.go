package machine

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"
)

// Command returns the command kube-config. newToken creates a join token on the master, in the
// form TOKEN@PIN.
func Command(m *Machine, newToken func(c *cobra.Command, kubeconfig string, nodes int) (server, token string, err error)) *cobra.Command {
	c := &cobra.Command{
		Use:           "kube-config",
		Short:         "Set this machine up as the master or a worker of a cluster",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var stateDir string
	install := &cobra.Command{
		Use: "install", Short: "Mend what this machine lacks: control groups, swap, kernel settings, images", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.Install(c.Context(), stateDir) },
	}
	stateDirFlag(install, &stateDir)
	info := &cobra.Command{
		Use: "info", Short: "Print what this machine is, and what it lacks", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			i, err := m.Info(c.Context())
			if err != nil {
				return err
			}
			i.Print(m.Out)
			return nil
		},
	}
	disable := &cobra.Command{
		Use: "disable-node", Short: "Stop the master or worker and its pods; the data is kept", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.DisableNode(c.Context()) },
	}
	c.AddCommand(install, info, masterCommand(m), workerCommand(m), disable, tokenCommand(m, newToken),
		addonCommand(m, "enable-addon NAME", "Run an add-on in the cluster, from the master", m.EnableAddon),
		addonCommand(m, "disable-addon NAME", "Remove an add-on from the cluster", m.DisableAddon),
		deleteCommand(m), timeCommand(m))
	return c
}

func stateDirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "state-dir", "", "where etcd's data, keys and the kubelet's directory are (default: as before, at first "+DefaultStateDir+")")
}

// nodeFlags registers what master and worker share, and returns a function that parses it.
func nodeFlags(c *cobra.Command, o *Options) func() error {
	var address, pods string
	f := c.Flags()
	f.StringVar(&o.Name, "name", "", "the node's name (default: its address)")
	f.StringVar(&address, "address", "", "the machine's address (default: that of its route)")
	f.StringVar(&pods, "pod-cidr", "", "the addresses of the node's pods (default: 10.246.N.0/24, where N is the last part of the address)")
	stateDirFlag(c, &o.StateDir)
	return func() (err error) {
		if address != "" {
			if o.Address, err = netip.ParseAddr(address); err != nil {
				return fmt.Errorf("--address %q: want an address such as 192.168.1.102", address)
			}
		}
		if pods != "" {
			if o.PodCIDR, err = netip.ParsePrefix(pods); err != nil {
				return fmt.Errorf("--pod-cidr %q: want a range such as 10.246.7.0/24", pods)
			}
		}
		return nil
	}
}

func masterCommand(m *Machine) *cobra.Command {
	var o Options
	var parse func() error
	c := &cobra.Command{
		Use: "enable-master", Short: "Make this machine the master of a cluster, and a node of it", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := parse(); err != nil {
				return err
			}
			return m.EnableMaster(c.Context(), o)
		},
	}
	parse = nodeFlags(c, &o)
	return c
}

func workerCommand(m *Machine) *cobra.Command {
	var o Options
	var parse func() error
	c := &cobra.Command{
		Use: "enable-worker ADDR", Short: "Make this machine a worker of the master at ADDR", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := parse(); err != nil {
				return err
			}
			return m.EnableWorker(c.Context(), args[0], o)
		},
	}
	parse = nodeFlags(c, &o)
	c.Flags().StringVar(&o.Token, "token", "", "the join token, as `kube-config token` prints it; asked for at a terminal, not needed again once joined")
	c.Flags().StringVar(&o.File, "token-file", "", "instead of --token, which other users see in the list of processes: a file with the token, or /dev/stdin")
	return c
}

func tokenCommand(m *Machine, newToken func(*cobra.Command, string, int) (string, string, error)) *cobra.Command {
	nodes := 1
	c := &cobra.Command{
		Use: "token", Short: "On the master: create a join token, and print the command for a worker", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			server, token, err := newToken(c, m.path(m.stateDir()+"/"+adminFile), nodes)
			if err != nil {
				return err
			}
			addr, err := resolve(c.Context(), server)
			if err != nil {
				return err
			}
			m.say("kube-config enable-worker %s --token %s", addr.Addr(), token)
			return nil
		},
	}
	c.Flags().IntVar(&nodes, "count", nodes, "number of workers that may join with the token, within a day")
	return c
}

func addonCommand(m *Machine, use, short string, run func(ctx context.Context, name string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return run(c.Context(), args[0])
			}
			names, err := m.Addons()
			for _, name := range names {
				m.say("%s", name)
			}
			return err
		},
	}
}

func deleteCommand(m *Machine) *cobra.Command {
	var sure bool
	c := &cobra.Command{
		Use: "delete-data", Short: "Remove all data of the cluster on this machine", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.DeleteData(c.Context(), sure) },
	}
	c.Flags().BoolVar(&sure, "yes", false, "do not ask")
	return c
}

func timeCommand(m *Machine) *cobra.Command {
	return &cobra.Command{
		Use: "set-time", Short: "Take the master's time if this machine's clock must be wrong; the node's unit runs it", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.SetTime(c.Context()) },
	}
}
