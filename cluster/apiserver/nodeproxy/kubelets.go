package nodeproxy

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

// kubeletTransports are the transports to the kubelets, with the server's own certificate:
// one for each node, since each kubelet must prove the name of its node. A connection to an
// address alone could reach another node, or the API server itself.
type kubeletTransports struct {
	conf  *tls.Config
	reach *Reach

	mu     sync.Mutex
	byNode map[string]*http.Transport
}

// maxTransports bounds the memory of nodes that are gone.
const maxTransports = 1000

func newKubeletTransports(conf *tls.Config, reach *Reach) *kubeletTransports {
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &kubeletTransports{conf: conf, reach: reach, byNode: map[string]*http.Transport{}}
}

// of returns the transport to the kubelet of a node.
func (k *kubeletTransports) of(node string) *http.Transport {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.byNode[node]; t != nil {
		return t
	}
	if len(k.byNode) >= maxTransports {
		k.clear()
	}
	t := newTransport(k.pinned(node), k.reach)
	k.byNode[node] = t
	return t
}

// reset closes all connections that are not in use: new ones are verified.
func (k *kubeletTransports) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clear()
}

func (k *kubeletTransports) clear() {
	for _, t := range k.byNode {
		t.CloseIdleConnections()
	}
	clear(k.byNode)
}

// pinned returns the configuration for one node. The peer's certificate is verified not for
// the address, which the node itself has written, but for the node's name.
func (k *kubeletTransports) pinned(node string) *tls.Config {
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

// newTransport returns a transport within reach. It speaks HTTP/1.1 only: a connection to be
// upgraded cannot be anything else.
func newTransport(conf *tls.Config, reach *Reach) *http.Transport {
	conf.NextProtos = []string{"http/1.1"}
	return &http.Transport{
		DialContext: reach.dial, TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		DisableCompression: true, // bodies pass as they are
	}
}
