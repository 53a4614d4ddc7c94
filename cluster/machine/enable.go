package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"wheelhouse/cluster/client"
)

// Options are the flags of enable-master and enable-worker. What is empty is chosen.
type Options struct {
	Name     string     // the node's; default its address, as every new Raspberry Pi has the same host name
	Address  netip.Addr // the machine's; default that of the default route, or towards the master
	PodCIDR  netip.Prefix
	StateDir string
	Token    string // enable-worker: TOKEN@PIN, as `kube-config token` prints it
	File     string // enable-worker: a file with that
}

// EnableMaster makes the machine a master that is a node, too, and waits until it is ready.
func (m *Machine) EnableMaster(ctx context.Context, o Options) error {
	if err := m.prepare(&o, netip.Addr{}); err != nil {
		return err
	}
	if err := m.begin(ctx, o); err != nil {
		return err
	}
	if err := m.loadImages(ctx); err != nil {
		return err
	}
	state := m.stateDir()
	if err := m.writeServer(o); err != nil {
		return err
	}
	if err := m.writeNode(o, state+"/server/"+o.Name+".kubeconfig"); err != nil {
		return err
	}
	if _, err := m.Run(ctx, true, "systemctl", "enable", "--now", serverUnit); err != nil {
		return err
	}
	if err := m.await(ctx, serverUnit, "the API server is ready", func() error {
		_, err := m.Kubectl(ctx, m.path(state+"/"+adminFile), "get", "--raw", "/readyz")
		return err
	}); err != nil {
		return err
	}
	if _, err := m.Run(ctx, true, "systemctl", "enable", "--now", nodeUnit); err != nil {
		return err
	}
	m.say("Kubernetes master services enabled")
	m.say("`kube-config token` prints the command that makes another machine a worker")
	return nil
}

// EnableWorker joins the cluster of the master at addr, and makes the machine a node of it.
// A machine that has joined that master before needs no token.
func (m *Machine) EnableWorker(ctx context.Context, addr string, o Options) error {
	server, err := serverURL(addr)
	if err != nil {
		return err
	}
	to, err := resolve(ctx, server)
	if err != nil {
		return err
	}
	if err := m.prepare(&o, to.Addr()); err != nil {
		return err
	}
	kubeconfig := m.stateDir() + "/" + nodeFileName
	if o.StateDir != "" {
		kubeconfig = o.StateDir + "/" + nodeFileName
	}
	joined := m.joined(kubeconfig, server, o.Name)
	if !joined || o.Token != "" || o.File != "" {
		if err := m.token(&o); err != nil {
			return err
		}
	}
	if err := m.begin(ctx, o); err != nil {
		return err
	}
	m.say("Using master ip: %s", to.Addr())
	if o.Token != "" {
		if err := m.join(ctx, server, kubeconfig, o); err != nil {
			return err
		}
	}
	if err := m.loadImages(ctx); err != nil {
		return err
	}
	if err := m.writeNode(o, kubeconfig); err != nil {
		return err
	}
	m.say("Starting worker components")
	if _, err := m.Run(ctx, true, "systemctl", "enable", "--now", nodeUnit); err != nil {
		return err
	}
	m.say("Kubernetes worker services enabled")
	return nil
}

// DisableNode stops and disables the units, and removes the pods' containers and what the node
// has made in the machine's network. Data and identity stay.
func (m *Machine) DisableNode(ctx context.Context) error {
	if err := m.stop(ctx); err != nil {
		return err
	}
	settings, err := m.settings(nodeEnv)
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

// begin checks what the machine lacks, and stops what runs.
func (m *Machine) begin(ctx context.Context, o Options) error {
	on, err := m.memoryGroup()
	if err != nil {
		return err
	}
	if !on {
		return errors.New("the kernel has no memory control group: run `kube-config install`, then reboot")
	}
	if err := m.stop(ctx); err != nil {
		return err
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
	return nil
}

// token completes the token from its file, or from a person at the terminal.
func (m *Machine) token(o *Options) error {
	if o.Token == "" && o.File != "" {
		text, err := os.ReadFile(o.File)
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		o.Token = strings.TrimSpace(string(text))
	}
	if o.Token == "" && m.Terminal {
		fmt.Fprint(m.Out, "Token (`kube-config token` on the master prints it): ")
		line, err := bufio.NewReader(m.In).ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		o.Token = strings.TrimSpace(line)
	}
	if token, pin, ok := strings.Cut(o.Token, "@"); !ok || token == "" || !strings.HasPrefix(pin, "sha256:") {
		return errors.New("--token: want TOKEN@sha256:HASH, which `kube-config token` on the master prints")
	}
	return nil
}

func (m *Machine) join(ctx context.Context, server, kubeconfig string, o Options) error {
	token, pin, _ := strings.Cut(o.Token, "@")
	if err := m.setTime(ctx, server, pinnedBy(pin)); err != nil {
		return err
	}
	ca, err := client.PinnedCA(ctx, server, pin)
	if err != nil {
		return err
	}
	k, err := client.Join(ctx, server, ca, token, o.Name)
	if err != nil {
		return fmt.Errorf("joining %s (`kube-config token` on the master prints a new token): %w", server, err)
	}
	return client.WriteKubeconfig(m.path(kubeconfig), *k)
}

// joined reports whether the node has an identity in the cluster of server.
func (m *Machine) joined(kubeconfig, server, name string) bool {
	settings, err := m.settings(nodeEnv)
	if err != nil || settings["NAME"] != name {
		return false
	}
	rc, err := client.FromKubeconfig(m.path(kubeconfig))
	return err == nil && rc.Host == server
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

// serverURL returns the API server's URL for what a person calls the master: an address or
// name, with or without a port.
func serverURL(addr string) (string, error) {
	host, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(addr, "https://"), "/"))
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(addr, "https://"), "/"), apiPort
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" || strings.ContainsAny(host, "/ @:") {
		return "", fmt.Errorf("%q: want the master's address, such as 192.168.1.102", addr)
	}
	return "https://" + net.JoinHostPort(host, port), nil
}

// resolve returns the address behind a server's URL.
func resolve(ctx context.Context, server string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(server, "https://"))
	if err != nil {
		return netip.AddrPort{}, err
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("the master's address: %w", err)
	}
	return netip.ParseAddrPort(net.JoinHostPort(found[0].Unmap().String(), port))
}
