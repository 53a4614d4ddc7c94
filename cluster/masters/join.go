package masters

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store/etcd"
)

// JoinConfig is how a machine becomes a further master.
type JoinConfig struct {
	Server string // of a master, "https://10.245.1.2:6443"
	Token  string // as wheelhouse token --master prints it
	Peers  *etcd.Peers
	Dir    string // the server's state directory
}

// apiServer is the common name of every API server's certificate, and of no node's.
const apiServer = "kube-apiserver"

// Join asks a master for a place among the members, and writes the keys that it hands over
// below Dir. The member has to start with the members that are returned. Until it has been
// ready once, Join may be called again, with the same token: what was broken off begins again.
func Join(ctx context.Context, c JoinConfig) (*Answer, error) {
	credential, pin, err := Split(c.Token)
	if err != nil {
		return nil, err
	}
	if err := ownKeys(filepath.Join(c.Dir, "pki", "ca.crt"), pin); err != nil {
		return nil, err
	}
	ca, err := client.PinnedCA(ctx, c.Server, pin)
	if err != nil {
		return nil, err
	}
	joiner, err := joinerOf(c.Dir)
	if err != nil {
		return nil, err
	}
	answer, err := ask(ctx, c.Server, ca, Request{Token: credential, Joiner: joiner, Name: c.Peers.Name, PeerURL: c.Peers.URL()})
	if err != nil {
		return nil, fmt.Errorf("joining %s: %w", c.Server, err)
	}
	if err := writeKeys(filepath.Join(c.Dir, "pki"), answer.Keys); err != nil {
		return nil, err
	}
	if answer.Members == nil {
		return nil, fmt.Errorf("joining %s: it named no masters", c.Server)
	}
	return answer, nil
}

// Joined removes what only an attempt to join needs.
func Joined(dir string) error {
	if err := os.Remove(filepath.Join(dir, joinerFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// ownKeys returns an error if the directory has the keys of another cluster.
func ownKeys(path, pin string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	have, err := client.Pin(data)
	if err != nil || have != pin {
		return fmt.Errorf("%s is of another cluster than the token: choose another --state-dir, or remove that one", path)
	}
	return nil
}

const joinerFile = "joiner"

// joinerOf returns the secret that binds the token to this machine.
func joinerOf(dir string) (string, error) {
	path := filepath.Join(dir, joinerFile)
	data, err := os.ReadFile(path)
	if err == nil && len(data) == 32 {
		return string(data), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	joiner := word(32)
	return joiner, writeFile(path, []byte(joiner))
}

func ask(ctx context.Context, server string, ca []byte, in Request) (*Answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(server, "/")+JoinPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots,
		// A node's certificate is of the same authority.
		VerifyConnection: func(s tls.ConnectionState) error {
			if name := s.PeerCertificates[0].Subject.CommonName; name != apiServer {
				return fmt.Errorf("the server's certificate is that of %q, not of an API server: somebody is in between", name)
			}
			return nil
		},
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 2 * joinPatience}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusGatewayTimeout:
		return nil, fmt.Errorf("%w: %s", ErrLater, strings.TrimSpace(string(data)))
	default:
		return nil, errors.New(strings.TrimSpace(string(data)))
	}
	var answer Answer
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return &answer, nil
}

// ErrLater is the error of a join that the same token may complete later.
var ErrLater = errors.New("the cluster takes no master now")

// writeKeys writes those of KeyFiles that were handed over.
func writeKeys(dir string, keys map[string][]byte) error {
	for _, name := range KeyFiles {
		data, ok := keys[name]
		if !ok && name == EncryptionFile {
			continue
		}
		if len(data) == 0 {
			return fmt.Errorf("the cluster has not handed over %s", name)
		}
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), data); err != nil {
			return fmt.Errorf("writing the cluster's keys: %w", err)
		}
	}
	return nil
}

// writeFile replaces a file in one step, 0600.
func writeFile(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// record is what a server remembers of its place among several, so that a start without the
// flags goes on.
type record struct {
	Name     string   `json:"name"`
	PeerPort uint16   `json:"peerPort"`
	Settings Settings `json:"settings"`
}

const recordFile = "master.json"

// Recall returns what Remember has written; found is false for a server that is alone.
func Recall(dir string) (name string, peerPort uint16, s Settings, found bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, recordFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", 0, Settings{}, false, nil
	}
	var r record
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return "", 0, Settings{}, false, fmt.Errorf("reading which master this is: %w", err)
	}
	return r.Name, r.PeerPort, r.Settings, true, nil
}

// Remember writes that this server is one of several.
func Remember(dir, name string, peerPort uint16, s Settings) error {
	data, err := json.Marshal(record{name, peerPort, s})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, recordFile), data)
}
