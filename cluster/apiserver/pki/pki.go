// Package pki creates and stores the cluster's keys: its certificate authority, the
// certificates that the authority issues, and the key that signs service-account tokens.
//
// A directory holds them (0700; files 0600). Open creates the keys of a new cluster; that one of an existing cluster is
// missing or damaged is an error. Pair reissues a certificate that is damaged, not of this authority, about to expire, or
// not for the requested names. A crash at any time leaves a directory that the next Open completes. Two processes may
// open it at once.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// nodeLife is that of a node's certificates, which nodes renew while they run.
	nodeLife = 90 * 24 * time.Hour
	// backdate allows for clocks that are behind: Raspberry Pis without one. It is at
	// most a twelfth of a certificate's life.
	backdate = 24 * time.Hour
)

// Authority is the cluster's certificate authority with its directory.
type Authority struct {
	dir      string
	evidence []string
	now      func() time.Time
	cert     *x509.Certificate
	key      *ecdsa.PrivateKey
	pem      []byte
	tokens   *ecdsa.PrivateKey
}

// Open loads the authority of dir, or creates it. The name is in the authority's certificate. The certificate, or any file
// of evidence that is there, says that the cluster exists: a key that is missing or damaged is a KeyError then.
func Open(dir, name string, evidence ...string) (*Authority, error) {
	return open(dir, name, time.Now, evidence...)
}

// OpenCA is Open for an authority that signs no tokens, such as that of etcd's members.
func OpenCA(dir, name string) (*Authority, error) {
	a := &Authority{dir: dir, now: time.Now}
	return a, a.open(name, false)
}

func open(dir, name string, now func() time.Time, evidence ...string) (*Authority, error) {
	a := &Authority{dir: dir, evidence: evidence, now: now}
	return a, a.open(name, true)
}

func (a *Authority) open(name string, tokens bool) error {
	dir := a.dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the key directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("closing the key directory: %w", err)
	}
	unlock, err := a.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := a.sweep(); err != nil {
		return err
	}
	if a.key, err = a.loadKey("ca.key"); err != nil {
		return err
	}
	if tokens {
		if a.tokens, err = a.loadKey("sa.key"); err != nil {
			return err
		}
	}
	return a.loadCert(name)
}

// CertPEM returns the authority's certificate: what a client needs to trust the cluster.
func (a *Authority) CertPEM() []byte { return a.pem }

// Pool holds the authority's certificate.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// Derive returns a key of 32 bytes for a purpose, which only who has the authority's key can
// compute. Each purpose has another one.
func (a *Authority) Derive(purpose string) ([]byte, error) {
	private, err := a.key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	return hkdf.Key(sha256.New, private, nil, "wheelhouse "+purpose, sha256.Size)
}

// TokenKey signs service-account tokens.
func (a *Authority) TokenKey() *ecdsa.PrivateKey { return a.tokens }

// Request describes a certificate.
type Request struct {
	CommonName   string   // user name of a client certificate
	Organization []string // groups of a client certificate
	DNSNames     []string
	IPs          []net.IP
	Server       bool          // may serve
	Client       bool          // may identify a client
	Life         time.Duration // of the certificate; 0 is a leaf's usual year
	After        time.Time     // a certificate that was issued before is not kept
}

func (r Request) life() time.Duration {
	if r.Life > 0 {
		return r.Life
	}
	return leafLife
}

// Pair is a certificate and its key, PEM.
type Pair struct{ Cert, Key []byte }

// TLS returns the pair for crypto/tls.
func (p *Pair) TLS() (tls.Certificate, error) { return tls.X509KeyPair(p.Cert, p.Key) }

// Pair returns the certificate stored as name.crt and name.key, created when there is none
// that serves r.
func (a *Authority) Pair(name string, r Request) (*Pair, error) {
	unlock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if p := a.load(name, r); p != nil {
		return p, nil
	}
	p, err := a.Issue(r)
	if err != nil {
		return nil, err
	}
	// An incomplete pair is recreated, so these need no fsync: the first start of a server
	// writes many.
	if err := errors.Join(a.write(name+".key", p.Key, false), a.write(name+".crt", p.Cert, false)); err != nil {
		return nil, err
	}
	return p, nil
}

// load returns the stored pair if it serves r, else nil.
func (a *Authority) load(name string, r Request) *Pair {
	cert, err1 := os.ReadFile(filepath.Join(a.dir, name+".crt"))
	key, err2 := os.ReadFile(filepath.Join(a.dir, name+".key"))
	if err1 != nil || err2 != nil {
		return nil
	}
	p := &Pair{Cert: cert, Key: key}
	t, err := p.TLS()
	if err != nil || !a.serves(t.Leaf, r) {
		return nil
	}
	return p
}

func (a *Authority) serves(c *x509.Certificate, r Request) bool {
	now := a.now()
	_, err := c.Verify(x509.VerifyOptions{
		Roots: a.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	want := r.template(now)
	return err == nil && now.Add(r.life()/3).Before(c.NotAfter) && !c.NotAfter.After(now.Add(r.life())) &&
		!Issued(c).Before(r.After) && c.Subject.CommonName == r.CommonName &&
		sameSet(c.Subject.Organization, r.Organization) &&
		sameSet(c.DNSNames, r.DNSNames) &&
		sameSet(addresses(c.IPAddresses), addresses(r.IPs)) &&
		slices.Equal(c.ExtKeyUsage, want.ExtKeyUsage)
}

// Issue returns a certificate with a new key, in memory only.
func (a *Authority) Issue(r Request) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating a key for %s: %w", r.CommonName, err)
	}
	cert, err := a.sign(r, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Pair{Cert: cert, Key: keyPEM}, nil
}

func (a *Authority) sign(r Request, public any) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, r.template(a.now()), a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", r.CommonName, err)
	}
	return encodeCert(der), nil
}

func (r Request) template(now time.Time) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: serial(now),
		Subject:      pkix.Name{CommonName: r.CommonName, Organization: r.Organization},
		NotBefore:    now.Add(-min(backdate, r.life()/12)),
		NotAfter:     now.Add(r.life()),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		DNSNames:     r.DNSNames,
		IPAddresses:  r.IPs,
	}
	if r.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	return t
}

// loadCert keeps the authority's certificate if it belongs to the key; else it creates a new
// one with the key, against which the old leaf certificates also verify.
func (a *Authority) loadCert(name string) error {
	data, err := os.ReadFile(filepath.Join(a.dir, "ca.crt"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the authority's certificate: %w", err)
	}
	if c, err := decodeCert(data); err == nil && c.IsCA && a.key.PublicKey.Equal(c.PublicKey) &&
		a.now().Add(leafLife).Before(c.NotAfter) {
		a.cert, a.pem = c, data
		return nil
	}
	subject := pkix.Name{CommonName: name}
	t := &x509.Certificate{
		SerialNumber: serial(a.now()),
		Subject:      subject,
		// Whatever a machine's clock says, it is the cluster's authority; what is issued has times of its own.
		NotBefore:             a.now().Add(-authorityLife),
		NotAfter:              a.now().Add(authorityLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &a.key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("creating the authority's certificate: %w", err)
	}
	a.pem = encodeCert(der)
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("reading back the authority's certificate: %w", err)
	}
	return a.write("ca.crt", a.pem, true)
}

// A serial number is serialMark, the time of issue (milliseconds of Unix time, 8 bytes)
// and random bytes: NotBefore is no time of issue, as it is backdated.
const (
	serialMark   = 1
	serialLength = 20
)

func serial(now time.Time) *big.Int {
	b := make([]byte, serialLength)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	b[0] = serialMark
	binary.BigEndian.PutUint64(b[1:], uint64(now.UnixMilli()))
	return new(big.Int).SetBytes(b)
}

// Issued returns when c was issued, to the millisecond.
func Issued(c *x509.Certificate) time.Time {
	if b := c.SerialNumber.Bytes(); len(b) == serialLength && b[0] == serialMark {
		return time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:])))
	}
	return c.NotBefore.Add(backdate) // certificates older than the time in serial numbers
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func addresses(ips []net.IP) []string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}

// lock excludes other processes that create the same files.
func (a *Authority) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(a.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the key directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the key directory: %w", err)
	}
	return func() { f.Close() }, nil
}
