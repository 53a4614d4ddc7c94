package machine

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// mirrorCA is where a node has the authority of its image mirror.
const mirrorCA = settingsDir + "/image-mirror-ca.crt"

// Mirror is the registry that a node asks first for each image. The zero value is none.
type Mirror struct {
	Address string // https://HOST:PORT
	CA      string // a file with its authority; "": those of the machine
}

// mirrorSetting returns the line of the node's settings, and keeps the mirror's authority beside them.
func (m *Machine) mirrorSetting(o Mirror) ([]string, error) {
	if o.Address == "" {
		if o.CA != "" {
			return nil, errors.New("--image-mirror-ca is given without --image-mirror")
		}
		return nil, nil
	}
	u, err := url.Parse(o.Address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || strings.ContainsAny(o.Address, " \t\n\"'$\\") {
		return nil, fmt.Errorf("--image-mirror %q: want https://HOST:PORT", o.Address)
	}
	flags := "--image-mirror=" + o.Address
	if o.CA == "" {
		return []string{mirrorVariable(flags)}, nil
	}
	text, err := os.ReadFile(m.path(o.CA))
	if err != nil {
		return nil, fmt.Errorf("--image-mirror-ca: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--image-mirror-ca: %s has no certificate", o.CA)
	}
	return []string{mirrorVariable(flags + " --image-mirror-ca=" + mirrorCA)}, m.write(mirrorCA, string(text), 0o644)
}

// mirrorVariable is a line of a file that both systemd and a shell read.
func mirrorVariable(flags string) string { return `IMAGE_MIRROR="` + flags + `"` }
