package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"wheelhouse/cluster/client"
)

// kubelets are the ways to the kubelets of nodes, with the server's own certificate: a
// transport for each node, since each has to prove that it is the one that is meant. A
// connection to an address alone could reach another node, or the API server itself.
type kubelets struct {
	conf  *tls.Config
	reach *Reach

	mu     sync.Mutex
	byNode map[string]*http.Transport
}

// knownKubelets bounds the memory of nodes that are gone.
const knownKubelets = 1000

func newKubelets(conf *tls.Config, reach *Reach) *kubelets {
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &kubelets{conf: conf, reach: reach, byNode: map[string]*http.Transport{}}
}

// of is the way to the kubelet of a node.
func (k *kubelets) of(node string) *http.Transport {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.byNode[node]; t != nil {
		return t
	}
	if len(k.byNode) >= knownKubelets {
		k.forget()
	}
	t := newTransport(k.pinned(node), k.reach)
	k.byNode[node] = t
	return t
}

// reset has all connections that are not in use made anew, with all checks.
func (k *kubelets) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget()
}

func (k *kubelets) forget() {
	for _, t := range k.byNode {
		t.CloseIdleConnections()
	}
	clear(k.byNode)
}

// pinned is the configuration for one node. The peer's certificate is verified here: not
// for the address, which the node itself has written, but for the node's name.
func (k *kubelets) pinned(node string) *tls.Config {
	conf := k.conf.Clone()
	if conf.InsecureSkipVerify {
		return conf
	}
	more := conf.VerifyConnection
	conf.InsecureSkipVerify = true
	conf.VerifyConnection = func(s tls.ConnectionState) error {
		if err := provesNode(s, node, conf); err != nil || more == nil {
			return err
		}
		return more(s)
	}
	return conf
}

// provesNode returns why the peer is not the kubelet of node, or nil.
func provesNode(s tls.ConnectionState, node string, conf *tls.Config) error {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	options := x509.VerifyOptions{Roots: conf.RootCAs, Intermediates: between, CurrentTime: time.Now()}
	if conf.Time != nil {
		options.CurrentTime = conf.Time()
	}
	leaf := s.PeerCertificates[0]
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	if leaf.Subject.CommonName != client.NodePrefix+node || !slices.Equal(leaf.Subject.Organization, []string{client.Nodes}) {
		return fmt.Errorf("it shows the certificate of %s, not of node %q", leaf.Subject, node)
	}
	return nil
}
