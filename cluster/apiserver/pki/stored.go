package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/clientcmd"
)

// Stored is a certificate, or a key that none belongs to, in a file of this machine.
type Stored struct {
	File string
	Of   string            // the name that it is for
	Cert *x509.Certificate // nil: a key, which has no end, or Err
	Err  error             // why the file cannot be read
}

// The states of a certificate.
const (
	StateValid    = "valid"
	StateDue      = "renewal is overdue" // what renews it does not run, or cannot
	StateExpired  = "expired"
	StateNotValid = "not valid yet"
	StateKey      = "key, no end"
)

// State is that of the certificate at a time. A leaf is renewed before a quarter of its life is left, an authority at a start in its
// last year.
func (s *Stored) State(now time.Time) string {
	switch c := s.Cert; {
	case s.Err != nil:
		return s.Err.Error()
	case c == nil:
		return StateKey
	case now.Before(c.NotBefore):
		return StateNotValid
	case now.After(c.NotAfter):
		return StateExpired
	case c.IsCA && c.NotAfter.Sub(now) < leafLife, !c.IsCA && c.NotAfter.Sub(now) < c.NotAfter.Sub(c.NotBefore)/4:
		return StateDue
	}
	return StateValid
}

// below are the places of certificates in the state directory of a server or a node.
var below = []string{"pki/*.crt", "pki/*.key", "pki/etcd/*.crt", "*.kubeconfig"}

// List returns what is stored in a state directory: in itself, in the directories of a server, a node and of each cluster of `up` in it,
// and of the nodes of those; and in further kubeconfigs. An authority that several kubeconfigs have is listed once.
func List(state string, kubeconfigs ...string) ([]Stored, error) {
	if _, err := os.ReadDir(state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing certificates: %w", err)
	}
	files := slices.Clone(kubeconfigs)
	for _, dir := range []string{".", "*", "*/nodes/*"} {
		for _, place := range below {
			found, err := filepath.Glob(filepath.Join(escaped(state), dir, place))
			if err != nil {
				return nil, fmt.Errorf("listing certificates: %w", err)
			}
			files = append(files, found...)
		}
	}
	slices.Sort(files)
	var out []Stored
	for _, file := range slices.Compact(files) {
		if !ofPods(state, file) {
			out = append(out, read(file)...)
		}
	}
	seen := map[string]bool{}
	for _, s := range out {
		if s.Cert != nil && !isKubeconfig(s.File) {
			seen[string(s.Cert.Raw)] = true
		}
	}
	return slices.DeleteFunc(out, func(s Stored) bool {
		if s.Cert == nil || !s.Cert.IsCA || !isKubeconfig(s.File) {
			return false
		}
		again := seen[string(s.Cert.Raw)]
		seen[string(s.Cert.Raw)] = true
		return again
	}), nil
}

// escaped is a path in which no character is one of a pattern.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// ofPods reports whether pods may have written the file: those below a node's disk and volumes.
func ofPods(state, file string) bool {
	path, err := filepath.Rel(state, file)
	parts := strings.Split(path, string(filepath.Separator))
	return err == nil && (slices.Contains(parts, "disk") || slices.Contains(parts, "kubelet"))
}

func isKubeconfig(file string) bool {
	return !slices.Contains([]string{".crt", ".key"}, filepath.Ext(file))
}

func read(file string) []Stored {
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	switch {
	case filepath.Ext(file) == ".key":
		if _, err := os.Lstat(strings.TrimSuffix(file, ".key") + ".crt"); err == nil {
			return nil // its certificate has an end
		}
		return []Stored{{File: file, Of: name}}
	case isKubeconfig(file):
		return readKubeconfig(file)
	}
	data, err := readSmall(file)
	return []Stored{stored(file, name, data, err)}
}

// stored is the first certificate of data, PEM.
func stored(file, name string, data []byte, err error) Stored {
	s := Stored{File: file, Of: name, Err: err}
	if err == nil {
		s.Cert, s.Err = decodeCert(data)
	}
	if s.Cert != nil {
		s.Of = s.Cert.Subject.CommonName
	}
	return s
}

// readKubeconfig returns the authorities and the certificates of the users in a file.
func readKubeconfig(file string) (out []Stored) {
	data, err := readSmall(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	name := filepath.Base(file)
	config, err := clientcmd.Load(data)
	if err != nil {
		return []Stored{{File: file, Of: name, Err: err}}
	}
	for _, c := range config.Clusters {
		if len(c.CertificateAuthorityData) > 0 {
			out = append(out, stored(file, name, c.CertificateAuthorityData, nil))
		}
	}
	for _, u := range config.AuthInfos {
		if len(u.ClientCertificateData) > 0 {
			out = append(out, stored(file, name, u.ClientCertificateData, nil))
		}
	}
	slices.SortFunc(out, func(a, b Stored) int { return strings.Compare(a.Of, b.Of) })
	return out
}

// mostBytes bounds what is read of a file.
const mostBytes = 1 << 20

// readSmall reads a regular file.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // no FIFO keeps it waiting
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > mostBytes {
		return nil, errors.New("not a file of a certificate")
	}
	return io.ReadAll(io.LimitReader(f, mostBytes))
}
