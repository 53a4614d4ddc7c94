package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// FromKubeconfig returns the configuration of path's current context, with protobuf
// and without a client-side rate limit.
func FromKubeconfig(path string) (*rest.Config, error) {
	c, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", path, err)
	}
	tune(c)
	return c, nil
}

// Kubeconfig is the content of a kubeconfig with one cluster, one user and one context.
type Kubeconfig struct {
	Cluster string // name of the cluster and of the context
	Server  string // "https://10.245.1.2:443"
	CA      []byte // PEM
	User    string
	// The user's credentials: a certificate with its key (PEM), or a token.
	Cert, Key []byte
	Token     string
	Namespace string // default namespace, may be empty
}

// WriteKubeconfig writes k to path with mode 0600, atomically. A file with the same content
// is not written.
func WriteKubeconfig(path string, k Kubeconfig) error {
	c := clientcmdapi.NewConfig()
	c.Clusters[k.Cluster] = &clientcmdapi.Cluster{Server: k.Server, CertificateAuthorityData: k.CA}
	c.AuthInfos[k.User] = &clientcmdapi.AuthInfo{
		ClientCertificateData: k.Cert, ClientKeyData: k.Key, Token: k.Token,
	}
	c.Contexts[k.Cluster] = &clientcmdapi.Context{Cluster: k.Cluster, AuthInfo: k.User, Namespace: k.Namespace}
	c.CurrentContext = k.Cluster
	data, err := clientcmd.Write(*c)
	if err != nil {
		return fmt.Errorf("encoding kubeconfig %s: %w", path, err)
	}
	if err := replaceFile(path, data); err != nil {
		return fmt.Errorf("writing kubeconfig %s: %w", path, err)
	}
	return nil
}

// WriteFile replaces a file, 0600, in one step. One with the same content is not written.
func WriteFile(path string, data []byte) error { return replaceFile(path, data) }

func replaceFile(path string, data []byte) (err error) {
	if old, rerr := os.ReadFile(path); rerr == nil && string(old) == string(data) {
		return os.Chmod(path, 0o600)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// kubeconfigFile is the kubeconfig that holds a node's certificate.
type kubeconfigFile struct {
	path    string
	node    string
	written string // the certificate that was last written or read
}

// write writes a new certificate to the file, atomically.
func (f *kubeconfigFile) write(p *Pair) error {
	c, err := clientcmd.LoadFromFile(f.path)
	if err != nil {
		return fmt.Errorf("reading kubeconfig %s: %w", f.path, err)
	}
	user, err := currentUser(c)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", f.path, err)
	}
	if string(user.ClientCertificateData) == string(p.Cert) {
		return nil
	}
	user.ClientCertificateData, user.ClientKeyData = p.Cert, p.Key
	user.ClientCertificate, user.ClientKey = "", ""
	data, err := clientcmd.Write(*c)
	if err != nil {
		return fmt.Errorf("encoding kubeconfig %s: %w", f.path, err)
	}
	if err := replaceFile(f.path, data); err != nil {
		return fmt.Errorf("writing kubeconfig %s: %w", f.path, err)
	}
	f.written = string(p.Cert)
	return nil
}

// read returns the node's certificate in the file if it has changed since, else nil.
func (f *kubeconfigFile) read() *Pair {
	c, err := clientcmd.LoadFromFile(f.path)
	if err != nil {
		return nil // the current one stays in use
	}
	user, err := currentUser(c)
	if err != nil || string(user.ClientCertificateData) == f.written {
		return nil
	}
	f.written = string(user.ClientCertificateData)
	p, err := newPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil || nodeOf(p.TLS.Leaf) != f.node {
		return nil
	}
	return p
}

func currentUser(c *clientcmdapi.Config) (*clientcmdapi.AuthInfo, error) {
	context := c.Contexts[c.CurrentContext]
	if context == nil || c.AuthInfos[context.AuthInfo] == nil {
		return nil, errors.New("its current context has no user")
	}
	return c.AuthInfos[context.AuthInfo], nil
}
