package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	humanize "github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/local"
	"wheelhouse/cluster/masters"
	"wheelhouse/cluster/store/etcd"
)

// snapshots are the flags of all snapshot commands: whose snapshots are meant.
type snapshots struct{ name, stateDir string }

// dir is the state directory of the server: that of a cluster of `up` unless another is given.
func (s *snapshots) dir() string {
	if s.stateDir != "" {
		return s.stateDir
	}
	return filepath.Dir(local.KubeconfigPath(s.name, ""))
}

// cluster returns the cluster of `up` whose snapshot a word names, if it can name one: a word that is no
// path, where the directory is that of a cluster. Else the word is a file.
func (s *snapshots) cluster(word string) (local.Config, bool) {
	dir, err := filepath.Abs(s.dir())
	if err != nil || !local.SnapshotName(word) {
		return local.Config{}, false
	}
	_, err = os.Stat(filepath.Join(dir, "cluster.json"))
	return local.Config{Name: filepath.Base(dir), StateDir: filepath.Dir(dir)}, err == nil
}

// snapshotCommand is for the state of a cluster of `up`, by a name, and of a server, as a file. A
// server takes one of those an hour.
func snapshotCommand() *cobra.Command {
	s := &snapshots{}
	c := &cobra.Command{Use: "snapshot", Short: "Keep the cluster's state by a name or in a file, and return to it", Long: `snapshot save NAME keeps the whole cluster of ` + "`up`" + `: its objects, and the disks of its nodes (volumes, host paths, static pods).
snapshot restore NAME returns to that. Containers begin again from their images: what they have written outside of volumes,
volumes in memory and logs are not kept. ` + "`down`" + ` removes the snapshots with the cluster.

snapshot save FILE and restore FILE are for the objects of any server alone; restore while it does not run.`}
	c.PersistentFlags().StringVar(&s.name, "name", defaultCluster(), "the cluster's name; also $WHEELHOUSE_CLUSTER")
	c.PersistentFlags().StringVar(&s.stateDir, "state-dir", "", "the server's --state-dir (default: that of the cluster)")
	c.AddCommand(snapshotSaveCommand(s), snapshotListCommand(s), snapshotRestoreCommand(s), snapshotDeleteCommand(s))
	return c
}

func snapshotSaveCommand(s *snapshots) *cobra.Command {
	path, replace := "", false
	c := &cobra.Command{
		Use: "save NAME|FILE", Short: "Keep the whole cluster as NAME, or write the objects of a running server to FILE, as etcdctl snapshot save does", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, whole := s.cluster(args[0])
			if !whole || path != "" {
				return saveFile(s, path)(c, args)
			}
			kept, err := local.Save(c.Context(), cfg, args[0], replace, c.OutOrStdout())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s of cluster %s: %s; its containers stood still for %.2f s\n", kept.Name, kept.Cluster, humanize.IBytes(uint64(kept.Bytes)), kept.Stopped)
			return err
		},
	}
	c.Flags().StringVar(&path, "kubeconfig", "", "for a FILE: the kubeconfig with the API server and the credentials (default: the cluster's)")
	c.Flags().BoolVar(&replace, "replace", false, "replace the snapshot of this NAME")
	return c
}

// saveFile writes the objects of a running server to a file.
func saveFile(s *snapshots, path string) func(*cobra.Command, []string) error {
	if path == "" {
		path = kubeconfig()
		if s.name != defaultCluster() {
			path = local.KubeconfigPath(s.name, "")
		}
	}
	return owned(&path, func(c *cobra.Command, args []string, _ *rest.Config, cs kubernetes.Interface) error {
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
	})
}

func snapshotListCommand(s *snapshots) *cobra.Command {
	output := ""
	c := &cobra.Command{
		Use: "list", Short: "List the snapshots of the cluster, and the files that its server has kept, the newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all struct {
				Snapshots []local.Snapshot    `json:"snapshots"`
				Files     []etcd.SnapshotFile `json:"files"`
			}
			var err error
			if cfg, whole := s.cluster("any"); whole {
				if all.Snapshots, err = local.Snapshots(cfg); err != nil {
					return err
				}
			}
			if all.Files, err = etcd.Snapshots(snapshotsDir(s.dir())); err != nil {
				return err
			}
			return show(c.OutOrStdout(), output, all, func(out io.Writer) error {
				w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
				fmt.Fprintln(w, "TAKEN\tSIZE\tNAME OR FILE")
				for _, k := range all.Snapshots {
					fmt.Fprintf(w, "%s\t%s\t%s\n", k.Taken.Format(time.RFC3339), humanize.IBytes(uint64(k.Bytes)), k.Name)
				}
				for _, f := range all.Files {
					fmt.Fprintf(w, "%s\t%s\t%s\n", f.Time.Format(time.RFC3339), humanize.IBytes(uint64(f.Size)), f.Path)
				}
				return w.Flush()
			})
		},
	}
	outputFlag(c, &output)
	return c
}

func snapshotRestoreCommand(s *snapshots) *cobra.Command {
	var f clusterFlags
	c := &cobra.Command{
		Use: "restore [NAME|FILE]", Short: "Return the whole cluster to NAME; or the objects to FILE (default: the newest of the server), while the server does not run", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				cfg, whole := s.cluster(args[0])
				if _, err := os.Stat(args[0]); whole && err == nil {
					known, _ := local.Snapshots(cfg)
					whole = slices.ContainsFunc(known, func(k local.Snapshot) bool { return k.Name == args[0] }) // else it is the file
				}
				if whole {
					cfg.Timeout = f.timeout
					return local.Restore(c.Context(), cfg, args[0], c.OutOrStdout())
				}
			}
			return restoreFile(c.OutOrStdout(), s.dir(), args)
		},
	}
	f.timeoutFlag(c, "the end and the start of the processes")
	return c
}

// restoreFile makes the objects of a file those of a server that does not run.
func restoreFile(out io.Writer, stateDir string, args []string) error {
	if len(args) == 0 {
		list, err := etcd.Snapshots(snapshotsDir(stateDir))
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("there is no snapshot in %s: name a FILE, or the server's directory with --state-dir", snapshotsDir(stateDir))
		}
		args = []string{list[0].Path}
	}
	former, err := etcd.Restore(etcdDir(stateDir), args[0], nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is restored; start the server\n", args[0])
	if _, _, _, several, err := masters.Recall(stateDir); err == nil && several {
		fmt.Fprintf(out, "it is the only master then: stop the others before, remove the directory etcd below their --state-dir, and start them with --join and a new token\n")
	}
	if former != "" {
		fmt.Fprintf(out, "what was there is kept in %s\n", former)
	}
	return nil
}

func snapshotDeleteCommand(s *snapshots) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Remove a snapshot of the cluster", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, whole := s.cluster(args[0])
			if !whole {
				return fmt.Errorf("%q is no snapshot of a cluster: `wheelhouse snapshot list` lists them", args[0])
			}
			if err := local.DeleteSnapshot(c.Context(), cfg, args[0], c.OutOrStdout()); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s is removed\n", args[0])
			return err
		},
	}
}
