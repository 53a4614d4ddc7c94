package machine

import (
	"bufio"
	"cmp"
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
	"wheelhouse/cluster/pairing"
)

// EnableWorker joins the cluster of the master at addr, and makes the machine a node of it. For
// addr "" it looks for the master that holds the token's or code's authority on the network. A
// machine that has joined that master before needs neither: one that is given is used if the
// master refuses the machine's identity. What runs with the same settings goes on.
func (m *Machine) EnableWorker(ctx context.Context, addr string, o Options) error {
	by, err := m.credential(addr, &o)
	if err != nil {
		return err
	}
	server, err := m.master(ctx, addr, by, o)
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
	kubeconfig := m.nodeFile(o)
	joined := m.joined(kubeconfig, server, o.Name)
	if by == nil && !joined {
		if by, err = m.ask(&o); err != nil {
			return err
		}
	}
	if by != nil && joined {
		if _, err := m.Kubectl(ctx, m.path(kubeconfig), "auth", "whoami"); err == nil {
			by = nil
		}
	}
	settings, err := m.nodeSettings(o, kubeconfig)
	if err != nil {
		return err
	}
	files := []file{{nodeEnv, settings}}
	if err := m.begin(ctx, o, by != nil, files); err != nil {
		return err
	}
	m.say("Using master ip: %s", to.Addr())
	if by != nil {
		if err := m.join(ctx, server, kubeconfig, by, o.Name); err != nil {
			return err
		}
	}
	if err := m.loadImages(ctx); err != nil {
		return err
	}
	if err := m.writeSettings(files); err != nil {
		return err
	}
	m.say("Starting worker components")
	if _, err := m.Run(ctx, true, "systemctl", "enable", "--now", nodeUnit); err != nil {
		return err
	}
	m.say("Kubernetes worker services enabled")
	return nil
}

// nodeFile is where the node's identity is, or will be.
func (m *Machine) nodeFile(o Options) string {
	return cmp.Or(o.StateDir, m.stateDir()) + "/" + nodeFileName
}

// credential is what a machine joins with: a token, and which authority it is for.
type credential struct {
	token     string
	authority verifier
}

// credential returns the one of the flags, nil if they have none. Without an address and without
// an identity it is needed: a person is asked.
func (m *Machine) credential(addr string, o *Options) (*credential, error) {
	if o.Token != "" || o.File != "" || o.Code != "" || o.CodeFile != "" {
		return m.ask(o)
	}
	if addr == "" && m.joinedTo(*o) == "" {
		return m.ask(o)
	}
	return nil, nil //nolint:nilnil // none is no error yet
}

// ask completes token or code from its file, or from a person at the terminal.
func (m *Machine) ask(o *Options) (*credential, error) {
	for _, f := range []struct {
		name string
		text *string
	}{{o.File, &o.Token}, {o.CodeFile, &o.Code}} {
		if f.name == "" || *f.text != "" {
			continue
		}
		text, err := os.ReadFile(f.name)
		if err != nil {
			return nil, fmt.Errorf("reading the token or code: %w", err)
		}
		*f.text = strings.TrimSpace(string(text))
	}
	text := cmp.Or(o.Code, o.Token)
	if text == "" && m.Terminal {
		fmt.Fprint(m.Out, "Code or token (`kube-config code` on the master prints one): ")
		line, err := bufio.NewReader(m.In).ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("reading the code or token: %w", err)
		}
		text = strings.TrimSpace(line)
	}
	if token, pin, ok := strings.Cut(text, "@"); ok && o.Code == "" {
		if token == "" || !strings.HasPrefix(pin, "sha256:") {
			return nil, errors.New("--token: want TOKEN@sha256:HASH, which `kube-config token` on the master prints")
		}
		return &credential{token: token, authority: pinnedBy(pin)}, nil
	}
	if text == "" || o.Token != "" {
		return nil, errors.New("--code, which `kube-config code` on the master prints, or --token: want TOKEN@sha256:HASH, which `kube-config token` prints")
	}
	code, err := pairing.Parse(text)
	if err != nil {
		return nil, err
	}
	token, err := code.Token()
	if err != nil {
		return nil, err
	}
	return &credential{token: token, authority: pairedBy(code)}, nil
}

// master returns the URL of the API server: at addr, that of the machine's identity, or one
// that is found on the network.
func (m *Machine) master(ctx context.Context, addr string, by *credential, o Options) (string, error) {
	if addr != "" {
		return serverURL(addr)
	}
	if by == nil {
		return m.joinedTo(o), nil
	}
	return m.find(ctx, by)
}

// The bounds of a search: of each round, of each look at an announced master, and of the masters
// that are looked at in a whole search.
const (
	findRound  = 3 * time.Second
	lookLimit  = 20 * time.Second
	maxStrange = 256
)

// find looks for the master that holds the credential's authority, until Patience has passed: at
// a class's start it may come up after its workers. Whoever else announces a master sees
// only that somebody looks for one: the token is sent only after the authority is known.
func (m *Machine) find(ctx context.Context, by *credential) (string, error) {
	m.say("Looking for the master on this network")
	waiting, cancel := context.WithTimeout(ctx, m.Patience)
	defer cancel()
	strange := map[netip.AddrPort]bool{} // those of another authority
	var last error
	for waiting.Err() == nil {
		found, err := m.Find(waiting, findRound)
		if err != nil {
			last = err
			select {
			case <-waiting.Done():
			case <-time.After(findRound):
			}
		}
		for _, at := range found {
			if strange[at] || len(strange) >= maxStrange {
				continue
			}
			server := "https://" + at.String()
			looking, stop := context.WithTimeout(waiting, lookLimit)
			err := m.setTime(looking, server, by.authority)
			stop()
			switch {
			case err == nil:
				return server, nil
			case errors.Is(err, errOtherAuthority):
				m.say("The master at %s is another cluster's, or somebody's who says so", at)
				strange[at] = true
			}
			if waiting.Err() == nil || last == nil {
				last = fmt.Errorf("%s: %w", server, err)
			}
		}
	}
	if last == nil {
		last = errors.New("nothing announces one: is the master on this network, and ready? With its address this command needs no search")
	}
	return "", fmt.Errorf("no master of this cluster is found: %w: %w", context.Cause(waiting), last)
}

func (m *Machine) join(ctx context.Context, server, kubeconfig string, by *credential, name string) error {
	if err := m.setTime(ctx, server, by.authority); err != nil {
		return err
	}
	ca, err := client.KnownCA(ctx, server, by.authority)
	if err != nil {
		return err
	}
	k, err := client.Join(ctx, server, ca, by.token, name)
	if err != nil {
		return fmt.Errorf("joining %s (`kube-config code` on the master prints a new code, `kube-config token` a new token): %w", server, err)
	}
	return client.WriteKubeconfig(m.path(kubeconfig), *k)
}

// joinedTo returns the server of the node's identity, "" without one.
func (m *Machine) joinedTo(o Options) string {
	settings, err := m.settings()
	if err != nil || settings["NAME"] == "" || (o.Name != "" && settings["NAME"] != o.Name) {
		return ""
	}
	rc, err := client.FromKubeconfig(m.path(m.nodeFile(o)))
	if err != nil {
		return ""
	}
	return rc.Host
}

// joined reports whether the node has an identity in the cluster of server.
func (m *Machine) joined(kubeconfig, server, name string) bool {
	settings, err := m.settings()
	if err != nil || settings["NAME"] != name {
		return false
	}
	rc, err := client.FromKubeconfig(m.path(kubeconfig))
	return err == nil && rc.Host == server
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
