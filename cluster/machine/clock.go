package machine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/pairing"
)

// A Raspberry Pi has no clock that runs without power. A worker that starts with a time from
// before the master's certificates could not verify them, and takes the master's time.
//
// What makes that safe: the time comes over TLS from the holder of a key that the cluster's
// authority has certified, and the authority is the pinned one (of the token, or of the node's
// kubeconfig); it is taken only if the machine's own clock is certainly wrong, which is before
// that certificate begins; it is only ever set forward, and only to a time within the
// certificate's validity. Somebody with an old key of the server can thus do no more than to a
// machine that is wrong already.

// verifier returns the authority in a chain of certificates if it is the right one.
type verifier func(chain []*x509.Certificate) (*x509.Certificate, error)

// pinnedBy returns the authority whose public key has the hash pin.
func pinnedBy(pin string) verifier {
	return func(chain []*x509.Certificate) (*x509.Certificate, error) {
		for _, ca := range chain[1:] {
			if client.PinOf(ca) == pin {
				return ca, nil
			}
		}
		return nil, errOtherAuthority
	}
}

// errOtherAuthority is of a server that holds no key of the right authority.
var errOtherAuthority = errors.New("its authority is not the one of the token or code: this is another cluster, or somebody in between")

// pairedBy returns the authority that a pairing code pins. It looks at one certificate of the
// chain, the last, as each look takes a tenth of a second.
func pairedBy(code pairing.Code) verifier {
	return func(chain []*x509.Certificate) (*x509.Certificate, error) {
		if last := chain[len(chain)-1]; len(chain) > 1 && code.Pins(last) {
			return last, nil
		}
		return nil, errOtherAuthority
	}
}

// SetTime sets the clock from the master of the node's kubeconfig, if it must be wrong. It is
// run before the node's unit starts. A master that cannot be reached is no error: the node waits
// for it anyway.
func (m *Machine) SetTime(ctx context.Context) error {
	settings, err := m.settings()
	if err != nil {
		return err
	}
	rc, err := client.FromKubeconfig(m.path(settings["KUBECONFIG"]))
	if err != nil {
		return err
	}
	pin, err := client.Pin(rc.CAData)
	if err != nil {
		return err
	}
	if err := m.setTime(ctx, rc.Host, pinnedBy(pin)); err != nil {
		m.say("the master's time is not known yet: %v", err)
	}
	return nil
}

// setTime asks server for its time, and takes it if the machine's own is before the server's
// certificate begins.
func (m *Machine) setTime(ctx context.Context, server string, authority verifier) error {
	var leaf *x509.Certificate
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12,
		// VerifyConnection verifies all but the present time.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			ca, err := authority(s.PeerCertificates)
			if err != nil {
				return err
			}
			leaf = s.PeerCertificates[0]
			pool := x509.NewCertPool()
			pool.AddCert(ca)
			_, err = leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: s.ServerName, CurrentTime: leaf.NotBefore})
			return err
		},
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/livez", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("the master's time: %w", err)
	}
	defer resp.Body.Close()
	if !m.Now().Before(leaf.NotBefore) {
		return nil
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return fmt.Errorf("the master's time: %w", err)
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("the master's time %s is outside of its certificate's, from %s to %s: set its clock", now, leaf.NotBefore, leaf.NotAfter)
	}
	m.say("This machine's clock (%s) is before the master's certificate: it is set to the master's time, %s", m.Now().UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	return m.SetClock(now)
}
