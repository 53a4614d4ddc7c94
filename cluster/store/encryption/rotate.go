package encryption

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"sigs.k8s.io/yaml"
)

// Default encrypts Secrets with a key of its own. What was written before is still read.
func Default(now time.Time) *Configuration {
	c := &Configuration{Resources: []ResourceConfiguration{{
		Resources: []string{"secrets"},
		Providers: []Provider{{Secretbox: &Keys{Keys: []Key{newKey(now)}}}, {Identity: &struct{}{}}},
	}}}
	c.APIVersion, c.Kind = apiVersion, kind
	return c
}

// newKey is a random key of 32 bytes, which every provider takes. Its name is the time.
func newKey(now time.Time) Key {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return Key{Name: "key-" + now.UTC().Format("20060102T150405.000"), Secret: base64.StdEncoding.EncodeToString(secret)}
}

var errNothingEncrypted = errors.New("the configuration encrypts nothing: no list of providers begins with one that has keys")

// writing are the keys of the providers that write. There is at least one, or an error.
func (c *Configuration) writing() (all []*Keys, err error) {
	for i := range c.Resources {
		for _, w := range ways {
			if keys := w.keys(&c.Resources[i].Providers[0]); keys != nil {
				all = append(all, keys)
			}
		}
	}
	if len(all) == 0 {
		return nil, errNothingEncrypted
	}
	return all, nil
}

// AddKey adds to each provider that writes a new key, the second of its keys: it is read
// and not yet written with.
func (c *Configuration) AddKey(now time.Time) error {
	all, err := c.writing()
	for _, keys := range all {
		keys.Keys = append([]Key{keys.Keys[0], newKey(now)}, keys.Keys[1:]...)
	}
	return err
}

// UseKey makes the second key of each provider that writes, if there is one, the first:
// the one that is written with.
func (c *Configuration) UseKey() error {
	all, err := c.writing()
	for _, keys := range all {
		if len(keys.Keys) > 1 {
			keys.Keys[0], keys.Keys[1] = keys.Keys[1], keys.Keys[0]
		}
	}
	return err
}

// DropKeys leaves each provider that writes the key that it writes with. What was
// written with another can be read no more.
func (c *Configuration) DropKeys() error {
	all, err := c.writing()
	for _, keys := range all {
		keys.Keys = keys.Keys[:1]
	}
	return err
}

// YAML is the configuration's file.
func (c *Configuration) YAML() ([]byte, error) { return yaml.Marshal(c) }
