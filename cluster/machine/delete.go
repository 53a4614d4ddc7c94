package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"wheelhouse/cluster/kubelet/nodefs"
)

// DeleteData removes etcd's data, keys, the node's identity and directory, and the settings of
// enable-master and enable-worker. What pods have written to the machine's own paths (hostPath,
// /srv/volumes) stays. It asks a person first unless sure is set.
func (m *Machine) DeleteData(ctx context.Context, sure bool) error {
	role, err := m.role(ctx)
	if err != nil {
		return err
	}
	if role != noRole {
		return fmt.Errorf("this machine is a %s: run `kube-config disable-node` first", role)
	}
	dir := m.stateDir()
	if !sure {
		if !m.Terminal {
			return errors.New("--yes is needed where nobody can be asked: all data of the cluster on this machine is removed")
		}
		fmt.Fprintf(m.Out, "Do you want to delete all Kubernetes data about this cluster, in %s? [y/N] ", dir)
		answer, err := bufio.NewReader(m.In).ReadString('\n')
		if err != nil || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y") {
			m.say("Nothing is deleted")
			return err
		}
	}
	if err := removeState(m.path(dir)); err != nil {
		return err
	}
	for _, name := range append([]string{serverEnv, nodeEnv, stateLink}, stateUnits...) {
		if err := os.Remove(m.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	m.say("All Kubernetes data in %s is deleted", dir)
	return nil
}

// removeState removes what server and node have in a directory, which may be a link to a disk. What pods had mounted there is
// unmounted first: a removal would go on in the volumes themselves.
func removeState(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, part := range []string{"server", "node"} {
		if err := nodefs.UnmountAndRemove(filepath.Join(real, part)); err != nil {
			return err
		}
	}
	return nil
}
