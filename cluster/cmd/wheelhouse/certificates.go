package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"time"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
)

const (
	// renewEvery is how often the server looks whether a certificate of its own is due.
	renewEvery = time.Hour
	// clockEvery is how often it looks whether the machine's clock was set: certificates of another time are good for nobody.
	clockEvery = 5 * time.Second
)

// ownCertificates are the server's certificates, and those in the kubeconfigs that it writes;
// run renews them.
type ownCertificates struct {
	options *serverOptions
	keys    *pki.Authority
	// revoked returns until when the certificates of a node are revoked.
	revoked func(node string) time.Time
	changed chan struct{} // the list of revoked certificates has
	peer    func() error  // renews the certificate of the etcd member
	log     *slog.Logger

	serving, kubelet atomic.Pointer[tls.Certificate]
}

// renew issues certificates that are missing, due or revoked.
func (c *ownCertificates) renew() error {
	if err := c.peer(); err != nil {
		return err
	}
	serving, err := c.pair("apiserver", c.options.servingRequest())
	if err != nil {
		return err
	}
	// The authority is shown too, for those who join with nothing but its hash.
	authority, _ := pem.Decode(c.keys.CertPEM())
	serving.Certificate = append(serving.Certificate, authority.Bytes)
	kubelet, err := c.pair("apiserver-kubelet-client", pki.KubeletClientRequest())
	if err != nil {
		return err
	}
	c.serving.Store(serving)
	c.kubelet.Store(kubelet)
	return c.writeKubeconfigs()
}

func (c *ownCertificates) pair(name string, r pki.Request) (*tls.Certificate, error) {
	pair, err := c.keys.Pair(name, r)
	if err != nil {
		return nil, err
	}
	cert, err := pair.TLS()
	return &cert, err
}

// run renews the certificates until ctx is done.
func (c *ownCertificates) run(ctx context.Context) error {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	look := time.NewTicker(clockEvery)
	defer look.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-look.C:
			now := time.Now()
			by := clockSet(last, now)
			if last = now; by.Abs() < clocksDiffer {
				continue
			}
			c.log.Warn("the machine's clock was set, or the machine slept: the server's certificates are checked", "by", by.Round(time.Second), "is", now.UTC().Format(time.RFC3339))
		case <-c.changed:
			// A revocation counts to the end of its second: what is made sooner is revoked too.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
		}
		if err := c.renew(); err != nil {
			c.log.Warn("renew the server's certificates", "err", err)
		}
	}
}

// clockSet is by how much the wall clock was set between two times of time.Now.
func clockSet(last, now time.Time) time.Duration {
	return now.Round(0).Sub(last.Round(0)) - now.Sub(last)
}

// notify makes run check at once.
func (c *ownCertificates) notify() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// serverName is one more name of the API server, as in the workshop.
const serverName = "master"

// reserved is what is the API server's, or of services and pods: no node may have it, but
// those that the owner names with --node.
func (o *serverOptions) reserved() (*pki.Reserved, error) {
	nodes, err := parseNodes(o.nodes)
	if err != nil {
		return nil, err
	}
	return &pki.Reserved{
		Names: pki.ServerNames(o.domain, serverName), Addresses: []netip.Addr{o.address.Addr, o.firstService()},
		Ranges: []netip.Prefix{o.serviceCIDR.Prefix, o.podCIDR.Prefix}, Pods: o.podCIDR.Prefix, Nodes: nodes,
	}, nil
}

func (o *serverOptions) servingRequest() pki.Request {
	return pki.ServerRequest(o.domain, o.firstService().AsSlice(), []net.IP{o.address.AsSlice()}, serverName)
}

func (c *ownCertificates) servingTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.serving.Load(), nil },
		// The authenticator verifies: a request may come with a token instead.
		ClientAuth: tls.RequestClientCert, ClientCAs: c.keys.Pool(),
	}
}

// kubeletTLS returns the client TLS configuration for kubelets; it refuses a kubelet's
// certificate that is revoked.
func (c *ownCertificates) kubeletTLS(revoked func(context.Context, *x509.Certificate) bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: c.keys.Pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.kubelet.Load(), nil },
		VerifyConnection: func(s tls.ConnectionState) error {
			if revoked(context.Background(), s.PeerCertificates[0]) {
				return errors.New("the node's certificate has been revoked")
			}
			return nil
		},
	}
}

// writeKubeconfigs writes the kubeconfigs of the administrator and of each --node.
func (c *ownCertificates) writeKubeconfigs() error {
	nodes, err := parseNodes(c.options.nodes)
	if err != nil {
		return err
	}
	requests := map[string]pki.Request{"admin": pki.AdminRequest()}
	for name := range nodes {
		r := pki.NodeRequest(name)
		r.After = c.revoked(name)
		requests[name] = r
	}
	for name, request := range requests {
		pair, err := c.keys.Pair(name, request)
		if err != nil {
			return err
		}
		if err := c.writeKubeconfig(name, pair); err != nil {
			return err
		}
	}
	return nil
}

func (c *ownCertificates) writeKubeconfig(name string, pair *pki.Pair) error {
	return client.WriteKubeconfig(filepath.Join(c.options.stateDir, name+".kubeconfig"), client.Kubeconfig{
		Cluster: "wheelhouse", Server: c.options.url(), CA: c.keys.CertPEM(), User: name, Cert: pair.Cert, Key: pair.Key,
	})
}
