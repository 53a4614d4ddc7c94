package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/utils/clock"
)

// Identity is who a process is towards the API server. A node's certificate is renewed
// while Run runs; connections with the old one are closed then.
type Identity struct {
	// Config is for clients. Its transport has the TLS settings.
	Config *rest.Config
	CA     []byte // the cluster's authority, PEM
	Node   string // whose kubelet this is, "" if it is none
	// Listed is the directory into which the certificates that are in memory alone are written, without their keys, for who lists
	// a machine's certificates; "" for none.
	Listed string

	rotation *Rotation // nil: nothing to renew
	base     *rest.Config
	clock    clock.Clock
	log      *slog.Logger
}

// NodeIdentity returns the identity of a kubeconfig's current context. If that is a kubelet's,
// with a certificate in the file, Run renews it: each new certificate is written to the file,
// and one that the administrator writes there is used.
func NodeIdentity(path string, log *slog.Logger, now clock.Clock) (*Identity, error) {
	return NodeIdentityVia(path, "", log, now)
}

// NodeIdentityVia is NodeIdentity with another URL than the file's for requests, such as that of
// a balancer; "" is the file's.
func NodeIdentityVia(path, via string, log *slog.Logger, now clock.Clock) (*Identity, error) {
	rc, err := FromKubeconfig(path)
	if err != nil {
		return nil, err
	}
	if via != "" {
		rc.Host, rc.ServerName = via, ""
	}
	rc = As(rc, Kubelet)
	if err := rest.LoadTLSFiles(rc); err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", path, err)
	}
	id := &Identity{Config: rc, CA: rc.CAData, base: rc, clock: now, log: log}
	if len(rc.CertData) == 0 || len(rc.KeyData) == 0 {
		return id, nil
	}
	first, err := newPair(rc.CertData, rc.KeyData)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", path, err)
	}
	if id.Node = nodeOf(first.TLS.Leaf); id.Node == "" {
		return id, nil
	}
	file := &kubeconfigFile{path: path, node: id.Node, written: string(first.Cert)}
	err = id.rotate(RotationConfig{
		Name: NodePrefix + id.Node, Issue: id.issue(nodeCertificate), Changed: file.write, Found: file.read,
		Remedy: "start the node with the flags that `wheelhouse token --node " + id.Node + "` prints on a master",
	}, first.TLS)
	return id, err
}

// nodeOf returns the node of a kubelet's certificate, else "".
func nodeOf(c *x509.Certificate) string {
	name, ok := strings.CutPrefix(c.Subject.CommonName, NodePrefix)
	if !ok || len(c.Subject.Organization) != 1 || c.Subject.Organization[0] != Nodes {
		return ""
	}
	return name
}

// Proxier returns the identity of the node's proxy and routes, whose certificate the node
// requests. For an identity that is no node's it returns that identity.
func (id *Identity) Proxier(ctx context.Context) (*Identity, error) {
	if id.Node == "" {
		return &Identity{Config: id.Config, CA: id.CA}, nil
	}
	p := &Identity{CA: id.CA, base: id.base, clock: id.clock, log: id.log}
	if err := p.rotate(RotationConfig{Name: ProxierPrefix + id.Node, Issue: id.issue(proxierCertificate), Changed: id.list("node-proxier")}, nil); err != nil {
		return nil, err
	}
	return p, p.rotation.Renew(ctx)
}

// Serving returns the rotation of the certificate of a node's HTTPS server.
func (id *Identity) Serving(node string, addresses ...net.IP) *Rotation {
	return NewRotation(RotationConfig{
		Name: "the node's server", Clock: id.clock, Log: id.log, Changed: id.list("kubelet-serving"),
		Issue: id.issue(func(ctx context.Context, c kubernetes.Interface, _ string) (*Pair, error) {
			return NodeServingCertificate(ctx, c, node, addresses...)
		}),
	}, nil)
}

// list returns a function that writes a certificate to NAME.crt of Listed. What is not listed is no reason not to be used.
func (id *Identity) list(name string) func(*Pair) error {
	return func(p *Pair) error {
		if id.Listed == "" {
			return nil
		}
		if err := replaceFile(filepath.Join(id.Listed, name+".crt"), p.Cert); err != nil {
			id.log.Warn("a certificate will not be listed", "name", name, "err", err)
		}
		return nil
	}
}

// mostTimeouts bounds the attempts to request a certificate of an API server that answers too late.
const mostTimeouts = 6

// issue returns a function that requests a certificate as the node. It asks again after a timeout: on a
// slow machine that starts all components at once, a TLS handshake can take longer than its ten seconds.
func (id *Identity) issue(ask func(context.Context, kubernetes.Interface, string) (*Pair, error)) func(context.Context) (*Pair, error) {
	return func(ctx context.Context) (*Pair, error) {
		c, err := kubernetes.NewForConfig(id.Config)
		if err != nil {
			return nil, err
		}
		for attempt := 1; ; attempt++ {
			pair, err := ask(ctx, c, id.Node)
			if err == nil || !utilnet.IsTimeout(err) || attempt == mostTimeouts || ctx.Err() != nil {
				return pair, err
			}
			id.log.Warn("the API server answers too late; asking again", "err", err)
		}
	}
}

// rotate sets id.Config to id.base with a certificate that is renewed.
func (id *Identity) rotate(c RotationConfig, first *tls.Certificate) error {
	conf, err := rest.TLSConfigFor(id.base)
	if err != nil {
		return err
	}
	dialer := connrotation.NewDialer((&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext)
	changed := c.Changed
	c.Clock, c.Log = id.clock, id.log
	c.Changed = func(p *Pair) error {
		dialer.CloseAll()
		if changed == nil {
			return nil
		}
		return changed(p)
	}
	id.rotation = NewRotation(c, first)
	conf.Certificates, conf.GetClientCertificate = nil, id.rotation.ForClient
	transport := utilnet.SetTransportDefaults(&http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: conf,
		TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 25,
	})
	id.Config = rest.CopyConfig(id.base)
	id.Config.TLSClientConfig, id.Config.Transport = rest.TLSClientConfig{}, transport
	return nil
}

// Run renews the certificate until ctx ends.
func (id *Identity) Run(ctx context.Context) error {
	if id.rotation == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return id.rotation.Run(ctx)
}
