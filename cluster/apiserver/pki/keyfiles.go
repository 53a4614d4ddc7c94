package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// KeyError is a key of an existing cluster that is missing or damaged. A new one would lock out all who trust the old.
type KeyError struct {
	File     string
	What     error     // nil: it is missing
	Written  time.Time // when the file was last written; if it is missing, when its directory was last changed
	Evidence []string  // files that say that the cluster exists
	Since    time.Time // from when the oldest of them is
}

func (e *KeyError) Error() string {
	state := fmt.Sprintf("is missing; its directory was last changed %s", e.Written.UTC().Format(time.RFC3339))
	if e.What != nil {
		state = fmt.Sprintf("is damaged: %v; it was last written %s", e.What, e.Written.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the key %s of a cluster that exists since %s %s. Nothing was changed. Put back a copy of it, from a backup or from another "+
		"master. Without one, remove %s: the next start makes new keys, and each node, kubeconfig and token has to be made again",
		e.File, e.Since.UTC().Format(time.RFC3339), state, strings.Join(e.Evidence, " and "))
}

func (e *KeyError) Unwrap() error { return e.What }

// keyError is the error about a key, nil if nothing says that the cluster exists.
func (a *Authority) keyError(path string, what error) error {
	e := &KeyError{File: path, What: what}
	for _, file := range append([]string{filepath.Join(a.dir, "ca.crt")}, a.evidence...) {
		st, err := os.Stat(file)
		if err != nil {
			continue
		}
		e.Evidence = append(e.Evidence, file)
		if e.Since.IsZero() || st.ModTime().Before(e.Since) {
			e.Since = st.ModTime()
		}
	}
	if e.Evidence == nil {
		return nil
	}
	if what == nil {
		path = a.dir
	}
	if st, err := os.Stat(path); err == nil {
		e.Written = st.ModTime()
	}
	return e
}

// loadKey reads a key that must survive every restart, or creates it for a new cluster. A file that cannot be read is
// an error (its permissions may be wrong for the moment).
func (a *Authority) loadKey(name string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(a.dir, name)
	data, err := os.ReadFile(path)
	var damage error
	switch {
	case err == nil:
		var key *ecdsa.PrivateKey
		if key, damage = decodeKey(data); damage == nil {
			return key, nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	if err := a.keyError(path, damage); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating %s: %w", name, err)
	}
	if data, err = encodeKey(key); err != nil {
		return nil, err
	}
	return key, a.write(name, data, true)
}

// LoadKey reads the key of a file, such as sa.key.
func LoadKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	key, err := decodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", path, err)
	}
	return key, nil
}

const temporary = ".tmp-*"

// write replaces a file in one step, 0600.
func (a *Authority) write(name string, data []byte, sync bool) error {
	f, err := os.CreateTemp(a.dir, temporary) // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(a.dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), os.Remove(f.Name()))
	}
	return nil
}

// sweep removes the incomplete files of a crash.
func (a *Authority) sweep() error {
	left, err := filepath.Glob(filepath.Join(a.dir, temporary))
	if err != nil {
		return fmt.Errorf("listing left-over files: %w", err)
	}
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("removing a left-over file: %w", err)
		}
	}
	return nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func decodeCert(data []byte) (*x509.Certificate, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate")
	}
	return x509.ParseCertificate(b.Bytes)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(data []byte) (*ecdsa.PrivateKey, error) {
	b, _ := pem.Decode(data)
	if b == nil {
		return nil, errors.New("no PEM key")
	}
	return x509.ParseECPrivateKey(b.Bytes)
}
