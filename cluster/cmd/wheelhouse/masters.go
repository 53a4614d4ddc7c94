package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/bootstrap"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/masters"
	"wheelhouse/cluster/store/etcd"
)

// masterFlags make a server one of several, each with an etcd member of its own.
type masterFlags struct {
	init     bool
	join     string
	joining  joinOptions
	name     string
	peerPort int

	several bool // set by recall
}

func (m *masterFlags) register(f *pflag.FlagSet) {
	f.BoolVar(&m.init, "cluster-init", false, "let further masters join this server; it needs to be given once, also to a server that has run without it")
	f.StringVar(&m.join, "join", "", "join the masters of a cluster: the URL of one, such as https://10.245.1.2:6443")
	f.StringVar(&m.joining.token, "token", "", "for --join: the master token, as wheelhouse token --master prints it")
	f.StringVar(&m.joining.tokenFile, "token-file", "", "instead of --token, which other users see in the list of processes: a file with the token, or /dev/stdin")
	f.StringVar(&m.name, "name", "", "the name of this master among several (default: the host name)")
	f.IntVar(&m.peerPort, "etcd-peer-port", 2380, "the port at which masters reach each other's etcd on their --address")
}

// recall completes the flags by what the server remembers of its place among several masters.
func (o *serverOptions) recall() error {
	m := &o.masters
	name, port, settings, found, err := masters.Recall(o.stateDir)
	if err != nil {
		return fmt.Errorf("the directory %s cannot be used (choose another with --state-dir): %w", o.stateDir, err)
	}
	m.several = found || m.init || m.join != ""
	if !m.several {
		return nil
	}
	if found {
		if !o.flags.Changed("name") {
			m.name = name
		}
		if !o.flags.Changed("etcd-peer-port") {
			m.peerPort = int(port)
		}
		if err := o.adopt(settings); err != nil {
			return err
		}
		if !m.init && m.join == "" && !etcd.Made(etcdDir(o.stateDir)) {
			return fmt.Errorf("this server has not joined the other masters yet: start it with --join and --token, or remove %s", o.stateDir)
		}
	}
	return m.check(o)
}

func (m *masterFlags) check(o *serverOptions) (err error) {
	if m.name == "" {
		if m.name, err = os.Hostname(); err != nil {
			return fmt.Errorf("this machine's name (give --name): %w", err)
		}
		m.name = strings.ToLower(m.name)
	}
	if err := masters.CheckName(m.name); err != nil {
		return fmt.Errorf("--name: %w", err)
	}
	switch {
	case !o.etcd.embedded():
		return errors.New("--cluster-init and --join are for servers with an etcd of their own: masters over --etcd-servers need neither")
	case m.init && m.join != "":
		return errors.New("--cluster-init begins a cluster, --join joins one: give one of them")
	case o.address.IsUnspecified():
		return errors.New("--address: want the address at which the other masters reach this one")
	case m.peerPort < 1 || m.peerPort > 65535:
		return fmt.Errorf("--etcd-peer-port %d: want a port from 1 to 65535", m.peerPort)
	}
	return nil
}

// settings are what all masters must agree on, as this server has it.
func (o *serverOptions) settings() masters.Settings {
	return masters.Settings{
		PodCIDR: o.podCIDR.String(), ServiceCIDR: o.serviceCIDR.String(), DNS: o.dns.String(), Domain: o.domain, NodePorts: o.nodePorts, Class: o.class,
	}
}

// adopt sets the flags that were not given to what the cluster has, and refuses others.
func (o *serverOptions) adopt(s masters.Settings) error {
	class := "false"
	if s.Class {
		class = "true"
	}
	for flag, value := range map[string]string{
		"pod-cidr": s.PodCIDR, "service-cidr": s.ServiceCIDR, "dns-address": s.DNS, "cluster-domain": s.Domain, "service-node-port-range": s.NodePorts, "class": class,
	} {
		f := o.flags.Lookup(flag)
		if f.Changed && f.Value.String() != value {
			return fmt.Errorf("--%s %s: the cluster has %s, and all masters must have the same", flag, f.Value, value)
		}
		if err := f.Value.Set(value); err != nil {
			return fmt.Errorf("the cluster's --%s %q: %w", flag, value, err)
		}
	}
	return nil
}

// peers returns the place of this server among several masters, nil for one that is alone. It
// joins the others if this server has not done so before.
func (o *serverOptions) peers(ctx context.Context, log *slog.Logger) (*etcd.Peers, error) {
	m := &o.masters
	if !m.several {
		return nil, nil
	}
	p := &etcd.Peers{Name: m.name, Address: netip.AddrPortFrom(o.address.Addr, uint16(m.peerPort))}
	if m.join != "" && !etcd.Made(etcdDir(o.stateDir)) {
		if err := m.joining.readToken(); err != nil {
			return nil, err
		}
		var answer *masters.Answer
		err := awaitStart(ctx, o.etcd.patience, log, "the other masters", func(ctx context.Context) (err error) {
			answer, err = masters.Join(ctx, masters.JoinConfig{Server: m.join, Token: m.joining.token, Peers: p, Dir: o.stateDir})
			return err
		})
		if err != nil {
			return nil, err
		}
		if err := o.adopt(answer.Settings); err != nil {
			return nil, err
		}
		p.Join = answer.Members
	}
	return p, masters.Remember(o.stateDir, m.name, uint16(m.peerPort), o.settings())
}

// peerCertificate writes the certificate with which the other masters know this one, if it is
// missing or due. Its files are read for each connection.
func (o *serverOptions) peerCertificate(p *etcd.Peers) error {
	if p == nil {
		return nil
	}
	dir := filepath.Join(o.stateDir, "pki", "etcd")
	members, err := pki.OpenCA(dir, "wheelhouse-etcd")
	if err != nil {
		return err
	}
	p.TLS = etcd.TLS{CertFile: filepath.Join(dir, "peer.crt"), KeyFile: filepath.Join(dir, "peer.key"), TrustedCAFile: filepath.Join(dir, "ca.crt")}
	_, err = members.Pair("peer", pki.Request{CommonName: p.Name, IPs: []net.IP{p.Address.Addr().AsSlice()}, Server: true, Client: true})
	return err
}

// complete makes the member that has started a full one.
func (o *serverOptions) complete(ctx context.Context, m *etcd.Member) error {
	if err := m.SetPeerURL(ctx); err != nil {
		return fmt.Errorf("writing this master's address into the list of members: %w", err)
	}
	if err := m.Promote(ctx); err != nil {
		return fmt.Errorf("becoming a full master: %w", err)
	}
	return masters.Joined(o.stateDir)
}

// handover answers masters that join; none can without --cluster-init.
func (o *serverOptions) handover(cp *controlPlane, db *database, log *slog.Logger) (map[string]http.Handler, error) {
	if db.member == nil {
		return nil, nil
	}
	key, err := cp.keys.Derive(masters.KeyPurpose)
	if err != nil {
		return nil, err
	}
	pin, err := client.Pin(cp.keys.CertPEM())
	if err != nil {
		return nil, err
	}
	return masters.Handover(masters.HandoverConfig{
		Tokens: &masters.Tokens{Client: func() kubernetes.Interface { return cp.self }, Key: key, Pin: pin}, Members: db.member, Dir: filepath.Join(o.stateDir, "pki"),
		Encryption: o.encryption.path, Settings: o.settings(), Alone: !o.masters.several, Log: log.With("component", "masters"),
	}), nil
}

// alone reports whether no other server writes to this one's etcd.
func (o *serverOptions) alone() bool { return o.etcd.embedded() && !o.masters.several }

// keepsSecrets reports whether this server may make the key for Secrets: no other one has one.
func (o *serverOptions) keepsSecrets() bool {
	return o.alone() || o.etcd.embedded() && o.masters.join == "" && !etcd.Made(etcdDir(o.stateDir))
}

// majority is the check whether this server reaches a majority of etcd's members: one that is
// cut off from the others can answer no client. A server that is alone needs none.
func (o *serverOptions) majority(db *database) []apiserver.Check {
	if o.alone() {
		return nil
	}
	return []apiserver.Check{{Name: "etcd-readiness", Check: func(ctx context.Context) error {
		_, err := db.client.Get(ctx, "\x00", clientv3.WithCountOnly(), clientv3.WithLimit(1))
		return err
	}}}
}

// live returns the list of live masters, nil for a server that is alone.
func (o *serverOptions) live(db *database, ready func(context.Context) error, log *slog.Logger) *masters.Live {
	if o.alone() || o.address.IsLoopback() {
		return nil
	}
	self := masters.Master{Address: o.address.Addr, Port: int32(o.port), DNSPort: int32(o.dnsPort)}
	if o.servesUI() {
		self.UIPort = int32(o.uiPort)
	}
	return masters.NewLive(masters.LiveConfig{Client: db.client, Self: self, Ready: ready, Log: log.With("component", "masters")})
}

// servers are the addresses of the live masters that have the same ports as this one: the
// endpoints of a service share theirs.
func servers(live *masters.Live) func(context.Context) (bootstrap.Servers, error) {
	if live == nil {
		return nil
	}
	return func(ctx context.Context) (s bootstrap.Servers, err error) {
		all, err := live.List(ctx)
		for _, m := range all {
			if m.Port == live.Self.Port {
				s.API = append(s.API, m.Address)
			}
			if m.DNSPort != 0 && m.DNSPort == live.Self.DNSPort {
				s.DNS = append(s.DNS, m.Address)
			}
			if m.UIPort != 0 && m.UIPort == live.Self.UIPort {
				s.UI = append(s.UI, m.Address)
			}
		}
		return s, err
	}
}

// majorityNotice is after which time a start says what it waits for.
const majorityNotice = 5 * time.Second
