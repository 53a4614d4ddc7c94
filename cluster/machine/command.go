package machine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Issuer creates on the master, whose owner's kubeconfig it is given, what so many nodes may join
// with until life has passed.
type Issuer struct {
	Token func(ctx context.Context, kubeconfig string, nodes int, life time.Duration) (server, token string, err error) // TOKEN@PIN
	Code  func(ctx context.Context, kubeconfig string, nodes int, life time.Duration) (code string, err error)
	// Register makes a code valid that Class has made for this master's authority.
	Register func(ctx context.Context, kubeconfig, code string, nodes int, life time.Duration) error
	// Class makes an authority in a directory, which a server takes as its own, and a code for it.
	Class func(pkiDir string) (code string, err error)
}

// Command returns the command kube-config.
func Command(m *Machine, issuer Issuer) *cobra.Command {
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
	c.AddCommand(install, info, masterCommand(m), workerCommand(m), disable, tokenCommand(m, issuer), codeCommand(m, issuer), classCommand(m, issuer),
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
	f.StringVar(&o.Mirror.Address, "image-mirror", "", "the registry that is asked first for each image, such as a class's, https://HOST:PORT; without the flag none is")
	f.StringVar(&o.Mirror.CA, "image-mirror-ca", "", "a file with the certificate authority of --image-mirror, which is copied (default: those of the machine)")
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
	c.Flags().BoolVar(&o.Hidden, "hidden", false, "do not announce the master on its network: workers need its address")
	return c
}

func workerCommand(m *Machine) *cobra.Command {
	var o Options
	var parse func() error
	c := &cobra.Command{
		Use: "enable-worker [ADDR]", Short: "Make this machine a worker of the master at ADDR, or of the one on this network", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := parse(); err != nil {
				return err
			}
			return m.EnableWorker(c.Context(), strings.Join(args, ""), o)
		},
	}
	parse = nodeFlags(c, &o)
	c.Flags().StringVar(&o.Token, "token", "", "the join token, as `kube-config token` prints it; asked for at a terminal, not needed again once joined")
	c.Flags().StringVar(&o.File, "token-file", "", "instead of --token, which other users see in the list of processes: a file with the token, or /dev/stdin")
	c.Flags().DurationVar(&m.Patience, "timeout", m.Patience, "how long to look for the master where no ADDR is given")
	c.Flags().StringVar(&o.Code, "code", "", "instead of a token: the pairing code, as `kube-config code` prints it")
	c.Flags().StringVar(&o.CodeFile, "code-file", "", "instead of --code, which other users see in the list of processes: a file with the code, or /dev/stdin")
	c.MarkFlagsMutuallyExclusive("token", "token-file", "code", "code-file")
	return c
}

// joinFlags registers how many workers may join, and for how long, and returns a check of them.
func joinFlags(c *cobra.Command, nodes *int, life *time.Duration) func() error {
	c.Flags().IntVar(nodes, "count", 1, "number of workers that may join")
	c.Flags().DurationVar(life, "ttl", 24*time.Hour, "for how long they may")
	return func() error {
		if *nodes < 1 || *life <= 0 {
			return errors.New("--count and --ttl: want at least 1, and a time such as 24h")
		}
		return nil
	}
}

func codeCommand(m *Machine, issuer Issuer) *cobra.Command {
	var nodes int
	var life time.Duration
	var check func() error
	bare, file := false, ""
	c := &cobra.Command{
		Use: "code", Short: "On the master: create a pairing code, and print the command for a worker on the same network", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := check(); err != nil {
				return err
			}
			if file != "" {
				text, err := m.read(file)
				if err != nil || text == "" {
					return fmt.Errorf("--register: %s has no code: %w", file, err)
				}
				return issuer.Register(c.Context(), m.path(m.stateDir()+"/"+adminFile), text, nodes, life)
			}
			code, err := issuer.Code(c.Context(), m.path(m.stateDir()+"/"+adminFile), nodes, life)
			if err != nil {
				return err
			}
			if bare {
				m.say("%s", code)
				return nil
			}
			m.say("kube-config enable-worker --code %s", code)
			return nil
		},
	}
	check = joinFlags(c, &nodes, &life)
	c.Flags().BoolVar(&bare, "bare", false, "print the code alone, as for an SD card")
	c.Flags().StringVar(&file, "register", "", "create none, but make the code in this file valid, which new-class has made for this master")
	c.MarkFlagsMutuallyExclusive("bare", "register")
	return c
}

func classCommand(m *Machine, issuer Issuer) *cobra.Command {
	return &cobra.Command{
		Use: "new-class DIR", Short: "Make the keys of a master that is not set up yet, and a code for its workers, as for SD cards", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if existing, err := m.list(args[0]); err != nil || len(existing) > 0 {
				return fmt.Errorf("%s: want a directory that is empty or not there: %w", args[0], err)
			}
			code, err := issuer.Class(m.path(args[0] + "/pki"))
			if err != nil {
				return err
			}
			return m.write(args[0]+"/code", code+"\n", 0o600)
		},
	}
}

func tokenCommand(m *Machine, issuer Issuer) *cobra.Command {
	var nodes int
	var life time.Duration
	var check func() error
	c := &cobra.Command{
		Use: "token", Short: "On the master: create a join token, and print the command for a worker", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := check(); err != nil {
				return err
			}
			server, token, err := issuer.Token(c.Context(), m.path(m.stateDir()+"/"+adminFile), nodes, life)
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
	check = joinFlags(c, &nodes, &life)
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
