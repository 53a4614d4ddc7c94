package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// folders are those that a machine's disk always has, so that a host path below one of
// them means on a node of a shared machine what it means elsewhere.
var folders = map[string]fs.FileMode{
	"etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "srv": 0o755, "tmp": 0o777 | fs.ModeSticky,
	"var": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/tmp": 0o777 | fs.ModeSticky,
}

// furnish gives a node's own disk what a machine's has: the common folders, and a file of
// hosts that knows the node. What is there stays.
func (k *Kubelet) furnish() error {
	if k.config.HostRoot == "" {
		return nil
	}
	if err := os.MkdirAll(k.config.HostRoot, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(k.config.HostRoot)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for name, mode := range folders {
		if _, err := root.Lstat(name); err == nil {
			continue
		}
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		if err := root.Chmod(name, mode); err != nil { // whatever the mask of this process
			return err
		}
	}
	f, err := root.OpenFile("etc/hosts", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	machine, _ := os.ReadFile("/etc/hosts") // a machine without one knows no names
	_, err = fmt.Fprintf(f, "%s%s\t%s\n", withNewline(machine), k.config.NodeIP, k.config.NodeName)
	return errors.Join(err, f.Close())
}

// hosts is the node's own file of hosts.
func (k *Kubelet) hosts() string {
	if data, err := k.diskHosts(); k.config.HostRoot != "" && err == nil {
		return withNewline(data)
	}
	data, _ := os.ReadFile("/etc/hosts") // a machine without one knows no names
	return withNewline(data)
}

// maxHosts is how many bytes the file of a node's own disk may have, to which pods can write.
const maxHosts = 1 << 20

func (k *Kubelet) diskHosts() ([]byte, error) {
	d, at, done, err := onDisk(k.config.HostRoot, "/etc/hosts")
	if err != nil {
		return nil, err
	}
	defer done()
	f, mode, err := hold(d, at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readRegular(f, mode, maxHosts)
}

func withNewline(text []byte) string {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return string(text) + "\n"
	}
	return string(text)
}
