package machine

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
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
	for _, part := range []string{"/server", "/node"} {
		if err := unmountBelow(m.path(dir + part)); err != nil {
			return err
		}
		if err := os.RemoveAll(m.path(dir + part)); err != nil {
			return err
		}
	}
	for _, name := range append([]string{serverEnv, nodeEnv, stateLink}, stateUnits...) {
		if err := os.Remove(m.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	m.say("All Kubernetes data in %s is deleted", dir)
	return nil
}

// unmountBelow unmounts what pods had mounted below a directory: a removal would go on in the
// volumes themselves.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return err
	}
	points := mountsBelow(string(text), dir)
	for _, point := range points {
		if err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmounting %s: %w", point, err)
		}
	}
	return nil
}

// mountsBelow returns the mount points below dir, those of a point before it.
func mountsBelow(mountinfo, dir string) (points []string) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if point := unescape.Replace(f[4]); point == dir || strings.HasPrefix(point, strings.TrimSuffix(dir, "/")+"/") {
			points = append(points, point)
		}
	}
	slices.Reverse(points)
	slices.SortStableFunc(points, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return points
}
