package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"wheelhouse/cluster/store"
	"wheelhouse/cluster/store/encryption"
)

// encryptionFile is the configuration that a server makes for itself. It is with the
// keys that further masters get a copy of: they must read the same Secrets.
const encryptionFile = "encryption.yaml"

// encryptionFlags configure the encryption in etcd.
type encryptionFlags struct {
	path    string
	reload  bool
	secrets bool
	mayMake bool // the default file
}

func (e *encryptionFlags) register(f *pflag.FlagSet) {
	f.StringVar(&e.path, "encryption-provider-config", "", "the EncryptionConfiguration of what is encrypted in etcd (default: "+encryptionFile+" in the pki directory of --state-dir, if there is one)")
	f.BoolVar(&e.reload, "encryption-provider-config-automatic-reload", false, "reload that file when it changes; always true for the default file")
	f.BoolVar(&e.secrets, "encrypt-secrets", true, "create the default file, with a key for Secrets, if there is none and the etcd is embedded")
}

// open returns the configuration in use, nil for none. It creates a key where
// no other server would lack it.
func (e *encryptionFlags) open(pki string, log *slog.Logger) (*encryption.File, error) {
	log = log.With("component", "encryption")
	if e.path != "" {
		return encryption.Open(e.path, 0, log)
	}
	own := filepath.Join(pki, encryptionFile)
	e.reload = true
	_, err := os.Stat(own)
	if errors.Is(err, fs.ErrNotExist) {
		if !e.mayMake || !e.secrets {
			return nil, nil
		}
		if err := encryption.Write(own, encryption.Default(time.Now())); err != nil {
			return nil, err
		}
	}
	return encryption.Open(own, 0, log)
}

// run applies changes of the configuration.
func (e *encryptionFlags) run(ctx context.Context, f *encryption.File, s *store.Store) error {
	if f == nil || !e.reload {
		return nil
	}
	return ended(ctx, "encryption", f.Run(ctx, s.SetTransformers))
}

func transformers(f *encryption.File) store.Transformers {
	if f == nil {
		return nil
	}
	return f.Transformers()
}
