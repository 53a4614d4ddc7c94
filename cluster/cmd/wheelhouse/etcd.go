package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	humanize "github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/store/etcd"
)

// etcdCommand reaches the member in the server's process, which has no socket of its own.
func etcdCommand() *cobra.Command {
	path := kubeconfig()
	c := &cobra.Command{Use: "etcd", Short: "The cluster's database: its members, its space, its snapshots"}
	c.PersistentFlags().StringVar(&path, "kubeconfig", path, "the kubeconfig with the API server and the credentials")
	c.AddCommand(
		etcdSubcommand(&path, "status", http.MethodGet, "Print how much of its quota and of its disk the database uses"),
		etcdSubcommand(&path, "compact", http.MethodPost, "Remove the history now; clients that watch or page from before start again"),
		etcdSubcommand(&path, "defrag", http.MethodPost, "Give unused pages back to the disk; writes wait meanwhile"),
		etcdMembersCommand(&path), etcdRemoveCommand(&path), snapshotCommand(),
	)
	return c
}

var errNoMember = errors.New("the server has no etcd of its own (--etcd-servers): use etcdctl")

func etcdMembersCommand(path *string) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "members", Short: "List the masters by their etcd members", Args: cobra.NoArgs,
		RunE: owned(path, func(c *cobra.Command, _ []string, _ *rest.Config, cs kubernetes.Interface) error {
			data, err := cs.Discovery().RESTClient().Get().AbsPath(etcd.AdminPath + "members").DoRaw(c.Context())
			if apierrors.IsNotFound(err) {
				return errNoMember
			}
			if err != nil {
				return fmt.Errorf("%w: %s", err, data)
			}
			var all []etcd.MemberInfo
			if err := json.Unmarshal(data, &all); err != nil {
				return err
			}
			return show(c.OutOrStdout(), output, all, func(w io.Writer) error { return printMembers(w, all) })
		}),
	}
	outputFlag(c, &output)
	return c
}

func printMembers(out io.Writer, all []etcd.MemberInfo) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tADDRESS\tROLE\tANSWERS")
	for _, m := range all {
		role, answers := "follower", "yes"
		switch {
		case m.Leader:
			role = "leader"
		case m.Learner:
			role = "learner (no vote yet)"
		}
		if !m.Answers {
			answers = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.ID, m.Name, strings.Join(m.PeerURLs, ","), role, answers)
	}
	return w.Flush()
}

func etcdRemoveCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME|ID", Short: "Remove a master from the members; it keeps the keys that it has", Args: cobra.ExactArgs(1),
		RunE: owned(path, func(c *cobra.Command, args []string, _ *rest.Config, cs kubernetes.Interface) error {
			data, err := cs.Discovery().RESTClient().Post().AbsPath(etcd.AdminPath+"remove").Param("member", args[0]).DoRaw(c.Context())
			if apierrors.IsNotFound(err) {
				return errNoMember
			}
			if err != nil {
				return fmt.Errorf("%w: %s", err, data)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "master %s is removed\n", args[0])
			return err
		}),
	}
}

func etcdSubcommand(path *string, verb, method, short string) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: verb, Short: short, Args: cobra.NoArgs,
		RunE: owned(path, func(c *cobra.Command, _ []string, _ *rest.Config, cs kubernetes.Interface) error {
			data, err := cs.Discovery().RESTClient().Verb(method).AbsPath(etcd.AdminPath + verb).DoRaw(c.Context())
			if apierrors.IsNotFound(err) {
				return errNoMember
			}
			if err != nil {
				return err
			}
			var s etcd.Status
			if err := json.Unmarshal(data, &s); err != nil {
				return err
			}
			return show(c.OutOrStdout(), output, s, func(w io.Writer) error { return printSpace(w, s) })
		}),
	}
	outputFlag(c, &output)
	return c
}

func printSpace(out io.Writer, s etcd.Status) error {
	bytes := func(n int64) string { return humanize.IBytes(uint64(n)) }
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "in use\t%s of %s (%d%%)\n", bytes(s.InUse), bytes(s.Quota), s.InUse*100/s.Quota)
	fmt.Fprintf(w, "file\t%s, %s of it unused\n", bytes(s.Size), bytes(max(0, s.Size-s.InUse)))
	fmt.Fprintf(w, "disk\t%s free, %s are reserved\n", bytes(s.DiskFree), bytes(s.Reserve))
	fmt.Fprintf(w, "revision\t%d\n", s.Revision)
	switch {
	case s.Refusing != "":
		fmt.Fprintf(w, "writes\t%s\n", s.Refusing)
	case s.Warning != "":
		fmt.Fprintf(w, "writes\taccepted; %s\n", s.Warning)
	default:
		fmt.Fprintln(w, "writes\taccepted")
	}
	return w.Flush()
}
