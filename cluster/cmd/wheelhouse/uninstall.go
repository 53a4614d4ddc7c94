package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/local"
	"wheelhouse/cluster/unit"
)

// madeBy is what uninstall has to know of a node of this machine; the node writes it below its --state-dir.
type madeBy struct {
	Cluster     string       `json:"cluster"`
	Name        string       `json:"name"`
	Address     netip.Addr   `json:"address"`
	PodCIDR     netip.Prefix `json:"podCIDR"`
	ClusterCIDR netip.Prefix `json:"clusterCIDR"`
}

func madeByPath(stateDir string) string { return filepath.Join(stateDir, "node.json") }

// record writes what uninstall has to know.
func (o *nodeOptions) record() error {
	data, err := json.Marshal(madeBy{o.cluster, o.name, o.address.Addr, o.podCIDR.Prefix, o.clusterCIDR.Prefix})
	if err != nil {
		return fmt.Errorf("record the node: %w", err)
	}
	if err := os.MkdirAll(o.stateDir, 0o700); err != nil {
		return fmt.Errorf("record the node: %w", err)
	}
	if err := os.WriteFile(madeByPath(o.stateDir), data, 0o600); err != nil {
		return fmt.Errorf("record the node: %w", err)
	}
	return nil
}

func uninstallCommand() *cobra.Command {
	var stateDir, nodeDir, serverDir string
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove all clusters, the node and the server of this machine, with all their data",
		Long: "Remove from this machine all that Wheelhouse has made: clusters of `up`, what a node has made (containers,\n" +
			"mounts, control groups and their units, interfaces, routes, packet rules), and the data of node and server.\n" +
			"Services of `wheelhouse install` are stopped and removed; others have to be stopped before. The program, its package and images of Docker stay.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out, log := c.OutOrStdout(), logger("uninstall")
			if os.Geteuid() != 0 {
				return errors.New("uninstall removes packet rules and control groups and needs root: run it with sudo")
			}
			if nodeDir == "" {
				nodeDir = filepath.Join(stateDir, "node")
			}
			if serverDir == "" {
				serverDir = filepath.Join(stateDir, "server")
			}
			if err := (&unit.Machine{Out: out}).Uninstall(c.Context()); err != nil {
				return err
			}
			running, err := services(nodeDir, serverDir)
			if err != nil {
				return err
			}
			if len(running) > 0 {
				return fmt.Errorf("stop these services first, and run uninstall again: %s", strings.Join(running, ", "))
			}
			if err := local.DownAll(c.Context(), local.Config{StateDir: stateDir}, out); err != nil {
				return err
			}
			if err := removeNode(c.Context(), nodeDir, out, log); err != nil {
				return err
			}
			return removeData(out, nodeDir, serverDir, stateDir)
		},
	}
	c.Flags().StringVar(&stateDir, "state-dir", local.DefaultStateDir, "has a directory for each cluster, the node and the server")
	c.Flags().StringVar(&nodeDir, "node-state-dir", "", "the node's --state-dir (default: node below --state-dir)")
	c.Flags().StringVar(&serverDir, "server-state-dir", "", "the server's --state-dir (default: server below --state-dir)")
	return c
}

// program returns the name of a process's program. A program that an upgrade has replaced is "(deleted)", and runs on.
func program(proc string) (string, error) {
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	return filepath.Base(strings.TrimSuffix(exe, " (deleted)")), err
}

// services returns the running processes of this program that use one of the directories: with the flag, or the
// default of their command.
func services(nodeDir, serverDir string) (found []string, err error) {
	self, err := program("/proc/self")
	if err != nil {
		return nil, fmt.Errorf("find running services: %w", err)
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("find running services: %w", err)
	}
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir)) // the pattern ends in a digit
		name, err := program(dir)
		if err != nil || pid == os.Getpid() || name != self {
			continue // it has ended, or is another program
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if len(args) > 1 && uses(args[1:], nodeDir, serverDir) {
			found = append(found, fmt.Sprintf("%s (process %d)", args[1], pid))
		}
	}
	return found, nil
}

// uses reports whether a command line is that of a component with one of the directories.
func uses(args []string, nodeDir, serverDir string) bool {
	dir := map[string]string{
		"node": "/var/lib/wheelhouse/node", "kubelet": "/var/lib/wheelhouse/node", "proxy": "/var/lib/wheelhouse/node",
		"server": "/var/lib/wheelhouse/server", "apiserver": "/var/lib/wheelhouse/server",
	}[args[0]]
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, "--state-dir="); ok {
			dir = value
		} else if a == "--state-dir" && i+1 < len(args) {
			dir = args[i+1]
		}
	}
	return dir != "" && slices.Contains([]string{filepath.Clean(nodeDir), filepath.Clean(serverDir)}, filepath.Clean(dir))
}

// removeNode removes what the node of a directory has made on the machine.
func removeNode(ctx context.Context, dir string, out io.Writer, log *slog.Logger) error {
	data, err := os.ReadFile(madeByPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read which node it is: %w", err)
	}
	var m madeBy
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read %s, which says which node it is (`wheelhouse node --cleanup` takes it from flags): %w", madeByPath(dir), err)
	}
	o := nodeOptions{cluster: m.Cluster, name: m.Name, stateDir: dir}
	o.address.Addr, o.podCIDR.Prefix, o.clusterCIDR.Prefix = m.Address, m.PodCIDR, m.ClusterCIDR
	if err := o.cleanUp(ctx, log); err != nil {
		return fmt.Errorf("node %s is not completely removed; fix this and run uninstall again: %w", m.Name, err)
	}
	fmt.Fprintf(out, "node %s  gone\n", m.Name)
	return nil
}

// removeData removes the directories, never through a mount, and the last one if nothing is left in it.
func removeData(out io.Writer, nodeDir, serverDir, stateDir string) error {
	for _, dir := range []string{nodeDir, serverDir} {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := local.RemoveTree(dir); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s  gone\n", dir)
	}
	if err := os.Remove(stateDir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("remove the state directory: %w", err)
	}
	return nil
}
