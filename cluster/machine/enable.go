package machine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// Options are the flags of enable-master and enable-worker. What is empty is chosen.
type Options struct {
	Name     string     // the node's; default its address, as every new Raspberry Pi has the same host name
	Address  netip.Addr // the machine's; default that of the default route, or towards the master
	PodCIDR  netip.Prefix
	StateDir string
	Token    string // enable-worker: TOKEN@PIN, as `kube-config token` prints it
	File     string // enable-worker: a file with that
	Code     string // enable-worker: instead of a token, as `kube-config code` prints it
	CodeFile string // enable-worker: a file with that
	Hidden   bool   // enable-master: do not announce it by multicast DNS
	Mirror   Mirror
}

// EnableMaster makes the machine a master that is a node, too, and waits until it is ready. What
// runs with the same settings goes on.
func (m *Machine) EnableMaster(ctx context.Context, o Options) error {
	if err := m.prepare(&o, netip.Addr{}); err != nil {
		return err
	}
	server, err := m.serverSettings(o)
	if err != nil {
		return err
	}
	node, err := m.nodeSettings(o, o.StateDir+"/server/"+o.Name+".kubeconfig")
	if err != nil {
		return err
	}
	files := []file{{serverEnv, server}, {nodeEnv, node}}
	if err := m.begin(ctx, o, false, files); err != nil {
		return err
	}
	if err := m.loadImages(ctx); err != nil {
		return err
	}
	if err := m.writeSettings(files); err != nil {
		return err
	}
	if _, err := m.Run(ctx, true, "systemctl", "enable", "--now", serverUnit); err != nil {
		return err
	}
	if err := m.await(ctx, serverUnit, "the API server is ready", func() error {
		_, err := m.Kubectl(ctx, m.path(o.StateDir+"/"+adminFile), "get", "--raw", "/readyz")
		return err
	}); err != nil {
		return err
	}
	if _, err := m.Run(ctx, true, "systemctl", "enable", "--now", nodeUnit); err != nil {
		return err
	}
	m.say("Kubernetes master services enabled")
	m.say("`kube-config code` prints the command that makes another machine a worker; `kube-config token` does for one that cannot look for this master")
	return nil
}

// DisableNode stops and disables the units, and removes the pods' containers and what the node
// has made in the machine's network. Data and identity stay.
func (m *Machine) DisableNode(ctx context.Context) error {
	if err := m.stop(ctx); err != nil {
		return err
	}
	settings, err := m.settings()
	if err != nil {
		return err
	}
	if settings["NAME"] != "" {
		for _, args := range [][]string{
			{"node", "--cleanup", "--name", settings["NAME"], "--address", settings["ADDRESS"], "--pod-cidr", settings["POD_CIDR"]},
			{"down", "--keep-data"},
		} {
			if _, err := m.Run(ctx, false, "wheelhouse", args...); err != nil {
				return err
			}
		}
	}
	m.say("Kubernetes services disabled. The data is kept: `kube-config delete-data` removes it")
	return nil
}

func (m *Machine) stop(ctx context.Context) error {
	m.say("Disabling k8s if it is running")
	_, err := m.Run(ctx, false, "systemctl", "disable", "--now", "--quiet", nodeUnit, serverUnit)
	return err
}

// begin checks what the machine lacks, and stops what runs: unless nothing joins, and the
// files of settings are what they shall be.
func (m *Machine) begin(ctx context.Context, o Options, joins bool, files []file) error {
	on, err := m.memoryGroup()
	if err != nil {
		return err
	}
	if !on {
		return errors.New("the kernel has no memory control group: run `kube-config install`, then reboot")
	}
	differs, err := m.differs(files)
	if err != nil {
		return err
	}
	if joins || differs {
		if err := m.stop(ctx); err != nil {
			return err
		}
	}
	return m.useStateDir(o.StateDir)
}

// prepare chooses what the flags leave open. Pods get 10.246.N.0/24, where N is the last part
// of the node's address: no two machines of a network of 256 addresses have the same.
func (m *Machine) prepare(o *Options, to netip.Addr) (err error) {
	if !o.Address.IsValid() {
		if o.Address, err = m.Local(to); err != nil {
			return err
		}
	}
	if !o.Address.Is4() {
		return fmt.Errorf("--address %s: want an IPv4 address", o.Address)
	}
	if o.Name == "" {
		o.Name = o.Address.String()
	}
	if !o.PodCIDR.IsValid() {
		o.PodCIDR = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 246, o.Address.As4()[3], 0}), 24)
	}
	if o.StateDir == "" {
		o.StateDir = m.stateDir()
	}
	o.StateDir = filepath.Clean(o.StateDir)
	return nil
}

// await waits until look returns nil. On timeout the unit's last log lines are in the error.
func (m *Machine) await(ctx context.Context, unit, what string, look func() error) error {
	waiting, cancel := context.WithTimeout(ctx, m.Patience)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-waiting.Done():
			lines, _ := m.Run(ctx, false, "journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=5", "--unit="+unit) // the wait's error counts
			return fmt.Errorf("after %s not yet: %s: %w; %s logs:\n%s", m.Patience, what, err, unit, strings.TrimSpace(lines))
		case <-tick.C:
		}
	}
}
