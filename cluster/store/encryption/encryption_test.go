package encryption

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/store"
)

const (
	header  = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
	key1    = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" // bytes 0 to 31
	key2    = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
	object  = "k8s\x00 the object"
	storage = "/registry/secrets/default/a"
)

var secrets = schema.GroupResource{Resource: "secrets"}

// provider is the YAML of one provider with keys NAME=SECRET.
func provider(name string, keys ...string) string {
	if len(keys) == 0 {
		return "  - " + name + ": {}\n"
	}
	out := "  - " + name + ":\n      keys:\n"
	for _, k := range keys {
		n, secret, _ := strings.Cut(k, "=")
		out += fmt.Sprintf("      - name: %s\n        secret: %q\n", n, secret)
	}
	return out
}

func rule(resources string, providers ...string) string {
	return "- resources: [" + resources + "]\n  providers:\n" + strings.Join(providers, "")
}

func parse(t *testing.T, rules ...string) *Configuration {
	t.Helper()
	c, err := Parse([]byte(header + "resources:\n" + strings.Join(rules, "")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func transformer(t *testing.T, providers ...string) store.Transformer {
	t.Helper()
	of, err := parse(t, rule("secrets", providers...)).Transformers()
	if err != nil {
		t.Fatal(err)
	}
	return of(secrets)
}

// The vectors were computed from the documented format by other implementations of the
// ciphers: key 0..31, nonce or initial vector 100, 101, ..., key of etcd as in storage.
var vectors = map[string]string{
	"secretbox": "azhzOmVuYzpzZWNyZXRib3g6djE6a2V5MTpkZWZnaGlqa2xtbm9wcXJzdHV2d3h5envg3kmP6yp5J7RypXowoOS+aYHqyRrCpoyQkkH+UufX",
	"aesgcm":    "azhzOmVuYzphZXNnY206djE6a2V5MTpkZWZnaGlqa2xtbm8jI61mWZ0++x4NPYK/Bh630phr3Q8sn3fgJ5yNtEJ7",
	"aescbc":    "azhzOmVuYzphZXNjYmM6djE6a2V5MTpkZWZnaGlqa2xtbm9wcXJz8l8/MVX64ARxDRj/vdGEsA==",
}

func TestReadsUpstreamsFormat(t *testing.T) {
	for name, vector := range vectors {
		value, err := base64.StdEncoding.DecodeString(vector)
		if err != nil {
			t.Fatal(err)
		}
		out, stale, err := transformer(t, provider(name, "key1="+key1)).TransformFromStorage(value, storage)
		if err != nil || string(out) != object || stale {
			t.Errorf("%s: %q, stale %v, %v", name, out, stale, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for name := range vectors {
		tr := transformer(t, provider(name, "key1="+key1))
		for n := range 70 {
			data := strings.Repeat("x", n)
			value, err := tr.TransformToStorage([]byte(data), storage)
			if err != nil || !strings.HasPrefix(string(value), "k8s:enc:"+name+":v1:key1:") {
				t.Fatalf("%s: %q, %v", name, value, err)
			}
			again, err := tr.TransformToStorage([]byte(data), storage)
			if err != nil || string(again) == string(value) {
				t.Errorf("%s: the same value is written twice: the nonce is not random (%v)", name, err)
			}
			out, stale, err := tr.TransformFromStorage(value, storage)
			if err != nil || string(out) != data || stale {
				t.Errorf("%s: %d bytes come back as %q, stale %v, %v", name, n, out, stale, err)
			}
		}
	}
}

// Whatever bit is changed, and, for AES-GCM, wherever the value is moved to, is noticed.
func TestTampering(t *testing.T) {
	for _, name := range []string{"secretbox", "aesgcm"} {
		tr := transformer(t, provider(name, "key1="+key1))
		value, err := tr.TransformToStorage([]byte(object), storage)
		if err != nil {
			t.Fatal(err)
		}
		for i := range value {
			bad := append([]byte(nil), value...)
			bad[i] ^= 1
			if out, _, err := tr.TransformFromStorage(bad, storage); err == nil {
				t.Errorf("%s: with byte %d changed it reads %q", name, i, out)
			}
		}
		for n := range value {
			if out, _, err := tr.TransformFromStorage(value[:n], storage); err == nil {
				t.Errorf("%s: cut to %d bytes it reads %q", name, n, out)
			}
		}
		_, _, err = tr.TransformFromStorage(value, "/registry/secrets/default/b")
		if moved := err != nil; moved != (name == "aesgcm") {
			t.Errorf("%s: moved to another key of etcd: %v", name, err)
		}
	}
	cbc := transformer(t, provider("aescbc", "key1="+key1))
	for n := range 64 {
		if out, _, err := cbc.TransformFromStorage([]byte("k8s:enc:aescbc:v1:key1:"+strings.Repeat("z", n)), storage); err == nil {
			t.Errorf("aescbc: %d bytes of garbage read as %q", n, out)
		}
	}
}

func TestProvidersInOrder(t *testing.T) {
	before := transformer(t, provider("aesgcm", "old="+key1))
	sealed, _ := before.TransformToStorage([]byte(object), storage)
	for _, c := range []struct {
		what      string
		providers []string
		value     string
		stale     bool
		err       string
	}{
		{"the key that writes", []string{provider("aesgcm", "old="+key1, "new="+key2)}, string(sealed), false, ""},
		{"a key that reads", []string{provider("aesgcm", "new="+key2, "old="+key1)}, string(sealed), true, ""},
		{"a provider that reads", []string{provider("secretbox", "new="+key2), provider("aesgcm", "old="+key1)}, string(sealed), true, ""},
		{"to be decrypted", []string{provider("identity"), provider("aesgcm", "old="+key1)}, string(sealed), true, ""},
		{"not yet encrypted", []string{provider("aesgcm", "old="+key1), provider("identity")}, object, true, ""},
		{"plain", []string{provider("identity")}, object, false, ""},
		{"plain and not allowed", []string{provider("aesgcm", "old="+key1)}, object, false, "no matching prefix found"},
		{"no such key", []string{provider("aesgcm", "new="+key2), provider("identity")}, string(sealed), false, `"k8s:enc:aesgcm:v1:old:"`},
		{"another key of that name", []string{provider("aesgcm", "old="+key2)}, string(sealed), false, "another key of this name"},
		{"two keys of one name", []string{provider("aesgcm", "old="+key2, "old="+key1)}, string(sealed), true, ""},
	} {
		out, stale, err := transformer(t, c.providers...).TransformFromStorage([]byte(c.value), storage)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", c.what, err, c.err)
			}
			continue
		}
		if err != nil || string(out) != object || stale != c.stale {
			t.Errorf("%s: %q, stale %v, %v", c.what, out, stale, err)
		}
	}
}

func TestResources(t *testing.T) {
	box, gcm, cbc := provider("secretbox", "k="+key1), provider("aesgcm", "k="+key1), provider("aescbc", "k="+key1)
	of, err := parse(t, rule("secrets, deployments.apps", box), rule("'*.apps'", gcm), rule("'*.*'", cbc)).Transformers()
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]string{
		"secrets": "secretbox", "deployments.apps": "secretbox", "daemonsets.apps": "aesgcm",
		"configmaps": "aescbc", "secrets.example.org": "aescbc",
	} {
		value, err := of(schema.ParseGroupResource(resource)).TransformToStorage(nil, storage)
		if err != nil || !strings.HasPrefix(string(value), "k8s:enc:"+want) {
			t.Errorf("%s: %q, %v, want %s", resource, value, err, want)
		}
	}
	if of, err = parse(t, rule("'*.'", box)).Transformers(); err != nil || of(secrets) == nil || of(schema.GroupResource{Group: "apps", Resource: "deployments"}) != nil {
		t.Errorf("*. is not the core group alone: %v", err)
	}
}

func TestInvalidConfigurations(t *testing.T) {
	box := provider("secretbox", "k="+key1)
	for what, c := range map[string]struct{ text, want string }{
		"another kind":       {"apiVersion: v1\nkind: Secret\n", `a "Secret" of "v1"`},
		"a misspelt field":   {header + "resurces: []\n", `unknown field "resurces"`},
		"nothing":            {header, "resources: Required value"},
		"no resources":       {header + "resources:\n" + rule("", box), "resources[0].resources: Required value"},
		"no providers":       {header + "resources:\n- resources: [secrets]\n", "resources[0].providers: Required value"},
		"two in one":         {header + "resources:\n" + rule("secrets", box+"    identity: {}\n"), "exactly one of"},
		"none in one":        {header + "resources:\n" + rule("secrets", "  - {}\n"), "exactly one of"},
		"kms":                {header + "resources:\n" + rule("secrets", "  - kms: {name: x}\n"), "not supported"},
		"a key that is text": {header + "resources:\n" + rule("secrets", provider("secretbox", "k=!hush")), `"REDACTED": is not base64`},
		"a short key":        {header + "resources:\n" + rule("secrets", provider("secretbox", "k=aHVzaA")), `"REDACTED": `},
		"aes of 20 bytes":    {header + "resources:\n" + rule("secrets", provider("aesgcm", "k=AAECAwQFBgcICQoLDA0ODxAREhM")), `"REDACTED": `},
		"no name":            {header + "resources:\n" + rule("secrets", "  - secretbox: {keys: [{secret: "+key1+"}]}\n"), "keys[0].name: Required value"},
		"no keys":            {header + "resources:\n" + rule("secrets", "  - aesgcm: {keys: []}\n"), "aesgcm.keys: Required value"},
		"capital letters":    {header + "resources:\n" + rule("Secrets", box), "capital letters"},
		"a lone star":        {header + "resources:\n" + rule("'*'", box), "use '*.'"},
		"across groups":      {header + "resources:\n" + rule("'secrets.*'", box), "across groups"},
		"events":             {header + "resources:\n" + rule("events.events.k8s.io", box), "use 'events'"},
		"twice":              {header + "resources:\n" + rule("secrets, secrets", box), "is named before"},
		"overlap":            {header + "resources:\n" + rule("secrets, '*.'", box), "overlaps"},
		"masked":             {header + "resources:\n" + rule("'*.*'", box) + rule("secrets", box), `masked by the earlier "*.*"`},
	} {
		_, err := Parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		} else if strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "aHVzaA") || strings.Contains(err.Error(), "AAECAw") {
			t.Errorf("%s: the error has the key in it: %v", what, err)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	c := parse(t, rule("secrets", provider("secretbox", "k="+key1)))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, *c.Resources[0].Providers[0].Secretbox); strings.Contains(text, "AAEC") || strings.Contains(text, fmt.Sprintf("%x", key1)) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// At each step of a rotation what was written at the steps before, and by a server that
// is one step behind, can be read.
func TestRotationSteps(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := Default(now)
	steps := []func() error{func() error { return c.AddKey(now.Add(time.Hour)) }, func() error { return c.UseKey() }, nil, func() error { return c.DropKeys() }}
	tr := func() store.Transformer {
		data, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if c, err = Parse(data); err != nil {
			t.Fatal(err)
		}
		of, err := c.Transformers()
		if err != nil {
			t.Fatal(err)
		}
		return of(secrets)
	}
	behind := tr()
	written := map[string][]byte{}
	write := func(by store.Transformer, when string) {
		value, err := by.TransformToStorage([]byte(object), storage)
		if err != nil {
			t.Fatal(err)
		}
		written[when] = value
	}
	write(behind, "first")
	for i, step := range steps {
		if step == nil { // the objects are written again
			for when := range written {
				write(behind, when)
			}
			continue
		}
		if err := step(); err != nil {
			t.Fatal(err)
		}
		ahead := tr()
		write(ahead, fmt.Sprint("ahead at ", i))
		write(behind, fmt.Sprint("behind at ", i))
		for when, value := range written {
			for who, server := range map[string]store.Transformer{"the server ahead": ahead, "the one behind": behind} {
				if out, _, err := server.TransformFromStorage(value, storage); err != nil || string(out) != object {
					t.Errorf("step %d: what was written %s is not read by %s: %v", i, when, who, err)
				}
			}
		}
		behind = ahead
	}
	if keys := c.Resources[0].Providers[0].Secretbox.Keys; len(keys) != 1 || keys[0].Name != "key-20260102T040405.000" {
		t.Errorf("after the rotation there are %v", keys)
	}
	plain := parse(t, rule("secrets", provider("identity")))
	if plain.AddKey(now) == nil || plain.UseKey() == nil || plain.DropKeys() == nil {
		t.Error("a configuration that encrypts nothing is rotated")
	}
}
