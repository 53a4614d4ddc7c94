package nodefs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
)

// rootDirectories are the directories that each machine's disk has, so that a host path
// below one of them means on a node of a shared machine what it means elsewhere.
var rootDirectories = map[string]fs.FileMode{
	"etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "srv": 0o755, "tmp": 0o777 | fs.ModeSticky,
	"var": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/tmp": 0o777 | fs.ModeSticky,
}

// PopulateRootFS adds to a node's own disk what a machine's disk has: the common
// directories, and an /etc/hosts that names the node. What exists stays.
func PopulateRootFS(hostRoot string, ip netip.Addr, node string) error {
	if hostRoot == "" {
		return nil
	}
	if err := os.MkdirAll(hostRoot, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(hostRoot)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for name, mode := range rootDirectories {
		if _, err := root.Lstat(name); err == nil {
			continue
		}
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		if err := root.Chmod(name, mode); err != nil { // whatever the umask
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
	machine, _ := os.ReadFile("/etc/hosts") // a machine without one has no names
	_, err = fmt.Fprintf(f, "%s%s\t%s\n", withNewline(machine), ip, node)
	return errors.Join(err, f.Close())
}

// Hosts returns the node's own /etc/hosts: that of its disk, or the machine's where the
// disk has none that can be read.
func Hosts(hostRoot string) string {
	if data, err := diskHosts(hostRoot); hostRoot != "" && err == nil {
		return withNewline(data)
	}
	data, _ := os.ReadFile("/etc/hosts") // a machine without one has no names
	return withNewline(data)
}

// maxHosts is how many bytes the file of a node's own disk may have, to which pods can write.
const maxHosts = 1 << 20

func diskHosts(hostRoot string) ([]byte, error) {
	f, mode, err := OpenPath(hostRoot, "/etc/hosts")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadRegular(f, mode, maxHosts)
}

func withNewline(text []byte) string {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return string(text) + "\n"
	}
	return string(text)
}
