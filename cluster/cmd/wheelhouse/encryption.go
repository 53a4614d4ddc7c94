package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

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

// open returns the configuration in use, nil for none. It creates a key where no other server would lack it, and etcd
// has nothing that a former key has encrypted.
func (e *encryptionFlags) open(ctx context.Context, pki string, values *clientv3.Client, log *slog.Logger) (*encryption.File, error) {
	log = log.With("component", "encryption")
	if e.path != "" {
		return encryption.Open(e.path, 0, log)
	}
	own := filepath.Join(pki, encryptionFile)
	e.reload = true
	_, err := os.Stat(own)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := encryption.Find(ctx, values)
		if err != nil {
			return nil, err
		}
		if key != "" {
			return nil, unusableKeys(own, fmt.Errorf("it is missing, and %s in etcd is encrypted", key))
		}
		if !e.mayMake || !e.secrets {
			return nil, nil
		}
		if err := encryption.Write(own, encryption.Default(time.Now())); err != nil {
			return nil, err
		}
	}
	f, err := encryption.Open(own, 0, log)
	if err != nil {
		return nil, unusableKeys(own, err)
	}
	return f, nil
}

// unusableKeys is the error about the file with the keys of an existing cluster.
func unusableKeys(file string, err error) error {
	since := "its directory was last changed"
	st, stat := os.Stat(file)
	if stat == nil {
		since = "it was last written"
	} else {
		st, stat = os.Stat(filepath.Dir(file))
	}
	if stat == nil {
		since += " " + st.ModTime().UTC().Format(time.RFC3339)
	}
	return fmt.Errorf("the keys of what is encrypted in etcd, %s, cannot be used (%s): %w. Nothing was changed. Put back a copy of it, from a backup or from "+
		"the pki directory of another master. Without one, what is encrypted is lost: return to a snapshot with its keys, or give "+
		"--encryption-provider-config with a new key, after which each of these objects answers 500 until it is deleted from etcd", file, since, err)
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
