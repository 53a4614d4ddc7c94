package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	humanize "github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/local"
	"wheelhouse/cluster/store/etcd"
)

// snapshotCommand is for the state of a cluster as a file. A server takes one an hour.
func snapshotCommand() *cobra.Command {
	stateDir := filepath.Dir(local.KubeconfigPath(defaultCluster(), ""))
	c := &cobra.Command{Use: "snapshot", Short: "Keep the cluster's state in a file, and return to it"}
	c.PersistentFlags().StringVar(&stateDir, "state-dir", stateDir, "the server's --state-dir")
	c.AddCommand(snapshotSaveCommand(), snapshotListCommand(&stateDir), snapshotRestoreCommand(&stateDir))
	return c
}

func snapshotSaveCommand() *cobra.Command {
	path := kubeconfig()
	c := &cobra.Command{
		Use: "save FILE", Short: "Write the present state of a running server to FILE, as etcdctl snapshot save does", Args: cobra.ExactArgs(1),
		RunE: owned(&path, func(c *cobra.Command, args []string, _ *rest.Config, cs kubernetes.Interface) error {
			from, err := cs.Discovery().RESTClient().Get().AbsPath(etcd.AdminPath + "snapshot").Stream(c.Context())
			if err != nil {
				return err
			}
			defer from.Close()
			part := args[0] + ".part"
			f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // it holds Secrets
			if err != nil {
				return err
			}
			n, err := io.Copy(f, from)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return errors.Join(err, os.Remove(part))
			}
			if err := os.Rename(part, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", args[0], humanize.IBytes(uint64(n)))
			return err
		}),
	}
	c.Flags().StringVar(&path, "kubeconfig", path, "the kubeconfig with the API server and the credentials")
	return c
}

func snapshotListCommand(stateDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the snapshots that the server has kept, the newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := etcd.Snapshots(snapshotsDir(*stateDir))
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "TAKEN\tSIZE\tFILE")
			for _, s := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Time.Format(time.RFC3339), humanize.IBytes(uint64(s.Size)), s.Path)
			}
			return w.Flush()
		},
	}
}

func snapshotRestoreCommand(stateDir *string) *cobra.Command {
	return &cobra.Command{
		Use: "restore [FILE]", Short: "Return to a snapshot (default: the newest of the server), while the server does not run", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				list, err := etcd.Snapshots(snapshotsDir(*stateDir))
				if err != nil {
					return err
				}
				if len(list) == 0 {
					return fmt.Errorf("there is no snapshot in %s: name a FILE, or the server's directory with --state-dir", snapshotsDir(*stateDir))
				}
				args = []string{list[0].Path}
			}
			former, err := etcd.Restore(etcdDir(*stateDir), args[0], nil)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is restored; start the server\n", args[0])
			if former != "" {
				fmt.Fprintf(c.OutOrStdout(), "what was there is kept in %s\n", former)
			}
			return nil
		},
	}
}
