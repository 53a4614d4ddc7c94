package encryption

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/nacl/secretbox"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/store"
)

// marker begins every encrypted value; what an object's own encoding begins with differs.
const marker = "k8s:enc:"

// way is a kind of provider that has keys.
type way struct {
	name   string // as in the configuration and in the prefix of values
	sizes  []int  // of its keys, in bytes
	keys   func(*Provider) *Keys
	cipher func(key []byte) (sealer, error)
}

var ways = []way{
	{"secretbox", []int{32}, func(p *Provider) *Keys { return p.Secretbox }, newBox},
	{"aesgcm", []int{16, 24, 32}, func(p *Provider) *Keys { return p.AESGCM }, newGCM},
	{"aescbc", []int{16, 24, 32}, func(p *Provider) *Keys { return p.AESCBC }, newCBC},
}

// sealer encrypts with one key. bound is data that must be the same when it decrypts,
// for the ways that authenticate such.
type sealer interface {
	seal(data, bound []byte) ([]byte, error)
	open(data, bound []byte) ([]byte, error)
}

// Transformers are the configuration's. The configuration is valid.
func (c *Configuration) Transformers() (store.Transformers, error) {
	chains := map[schema.GroupResource]chain{}
	for _, r := range c.Resources {
		links, err := r.links()
		if err != nil {
			return nil, err
		}
		for _, name := range r.Resources {
			gr := schema.ParseGroupResource(name)
			chains[gr] = append(chains[gr], links...)
		}
	}
	return func(gr schema.GroupResource) store.Transformer {
		for _, rule := range []schema.GroupResource{gr, {Group: gr.Group, Resource: "*"}, everything} {
			if c := chains[rule]; c != nil {
				return c
			}
		}
		return nil
	}, nil
}

func (r *ResourceConfiguration) links() (chain, error) {
	var all chain
	for i := range r.Providers {
		p := &r.Providers[i]
		if p.Identity != nil {
			all = append(all, link{sealer: identity{}})
			continue
		}
		for _, w := range ways {
			keys := w.keys(p)
			if keys == nil {
				continue
			}
			for _, k := range keys.Keys {
				secret, err := base64.StdEncoding.DecodeString(k.Secret)
				if err != nil {
					return nil, fmt.Errorf("key %s: it is not base64", k.Name)
				}
				s, err := w.cipher(secret)
				if err != nil {
					return nil, fmt.Errorf("key %s: %w", k.Name, err)
				}
				all = append(all, link{prefix: []byte(marker + w.name + ":v1:" + k.Name + ":"), sealer: s})
			}
		}
	}
	return all, nil
}

// chain is a resource's transformer: the first link writes, the link whose prefix a
// value has reads it.
type chain []link

type link struct {
	prefix []byte
	sealer
}

func (c chain) TransformToStorage(data []byte, key string) ([]byte, error) {
	sealed, err := c[0].seal(data, []byte(key))
	if err != nil || len(c[0].prefix) == 0 {
		return sealed, err
	}
	return append(bytes.Clone(c[0].prefix), sealed...), nil
}

func (c chain) TransformFromStorage(data []byte, key string) (out []byte, stale bool, err error) {
	var errs []error
	for i, l := range c {
		sealed, ok := bytes.CutPrefix(data, l.prefix)
		if !ok || len(l.prefix) == 0 && bytes.HasPrefix(data, []byte(marker)) {
			continue
		}
		out, err := l.open(sealed, []byte(key))
		if err == nil {
			return out, i != 0, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", l.prefix, err)) // several keys may have one name
	}
	if len(errs) > 0 {
		return nil, false, errors.Join(errs...)
	}
	return nil, false, fmt.Errorf("no matching prefix found: no provider is configured for %q", prefixOf(data))
}

// prefixOf is the beginning of a value up to the name of its key, such as k8s:enc:secretbox:v1:key1:.
func prefixOf(data []byte) []byte {
	const most = 256
	if !bytes.HasPrefix(data, []byte(marker)) {
		return []byte("a value that is not encrypted")
	}
	end := 0
	for range 5 {
		i := bytes.IndexByte(data[end:min(len(data), most)], ':')
		if i < 0 {
			break
		}
		end += i + 1
	}
	return data[:end]
}

// identity leaves values as they are.
type identity struct{}

func (identity) seal(data, _ []byte) ([]byte, error) { return data, nil }
func (identity) open(data, _ []byte) ([]byte, error) { return data, nil }

var (
	errShort  = errors.New("the value is too short")
	errSealed = errors.New("the value was changed, moved from another key of etcd, or written with another key of this name")
)

// box is XSalsa20 and Poly1305: a random nonce of 24 bytes, then the box. It is not
// bound to the key in etcd, as upstream.
type box [32]byte

const boxNonce = 24

func newBox(key []byte) (sealer, error) {
	b := box(key)
	return &b, nil
}

func (b *box) seal(data, _ []byte) ([]byte, error) {
	var nonce [boxNonce]byte
	_, _ = rand.Read(nonce[:]) // never fails
	out := make([]byte, boxNonce, boxNonce+len(data)+secretbox.Overhead)
	copy(out, nonce[:])
	return secretbox.Seal(out, data, &nonce, (*[32]byte)(b)), nil
}

func (b *box) open(data, _ []byte) ([]byte, error) {
	if len(data) < boxNonce {
		return nil, errShort
	}
	out, ok := secretbox.Open(nil, data[boxNonce:], (*[boxNonce]byte)(data), (*[32]byte)(b))
	if !ok {
		return nil, errSealed
	}
	return out, nil
}

// gcm is AES in GCM: a random nonce of 12 bytes, then ciphertext and tag. The key in
// etcd is authenticated with it.
type gcm struct{ cipher.AEAD }

func newGCM(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return gcm{aead}, err
}

func (g gcm) seal(data, bound []byte) ([]byte, error) {
	n := g.NonceSize()
	out := make([]byte, n, n+len(data)+g.Overhead())
	_, _ = rand.Read(out) // never fails
	return g.Seal(out, out, data, bound), nil
}

func (g gcm) open(data, bound []byte) ([]byte, error) {
	n := g.NonceSize()
	if len(data) < n {
		return nil, errShort
	}
	out, err := g.Open(nil, data[:n], data[n:], bound)
	if err != nil {
		return nil, errSealed
	}
	return out, nil
}

// cbc is AES in CBC with the padding of PKCS#7: the initial vector, then the blocks. It
// authenticates nothing, and is there to read what older clusters have written.
type cbc struct{ cipher.Block }

func newCBC(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	return cbc{block}, err
}

func (c cbc) seal(data, _ []byte) ([]byte, error) {
	pad := aes.BlockSize - len(data)%aes.BlockSize
	out := make([]byte, aes.BlockSize, aes.BlockSize+len(data)+pad)
	_, _ = rand.Read(out) // never fails
	out = append(append(out, data...), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(c, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], out[aes.BlockSize:])
	return out, nil
}

func (c cbc) open(data, _ []byte) ([]byte, error) {
	if len(data) < 2*aes.BlockSize || len(data)%aes.BlockSize != 0 {
		return nil, errShort
	}
	out := make([]byte, len(data)-aes.BlockSize)
	cipher.NewCBCDecrypter(c, data[:aes.BlockSize]).CryptBlocks(out, data[aes.BlockSize:])
	pad := int(out[len(out)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.Equal(out[len(out)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errSealed
	}
	return out[:len(out)-pad], nil
}
