package encryption

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/store"
	"wheelhouse/cluster/wait"
)

const hush = "what nobody may read"

var (
	secretKind = builtin.Lookup("", "v1", "secrets")
	configMaps = builtin.Lookup("", "v1", "configmaps")
)

func startEtcd(t testing.TB, dir string) (*clientv3.Client, func()) {
	t.Helper()
	client, stop, err := etcd.StartEmbedded(t.Context(), etcd.Config{Dir: dir, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	var done bool
	once := func() {
		if !done {
			done = true
			stop()
		}
	}
	t.Cleanup(once)
	return client, once
}

// open runs a store until stop or the end of the test.
func open(t testing.TB, client *clientv3.Client, sole bool, of store.Transformers) (s *store.Store, stop func()) {
	t.Helper()
	s, err := store.New(store.Config{Client: client, Kinds: []*api.Kind{secretKind, configMaps}, OnlyWriter: sole, Transformers: of, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var stopped bool
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	wait, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	if err := s.WaitReady(wait); err != nil {
		t.Fatal(err)
	}
	return s, stop
}

func transformers(t testing.TB, providers ...string) store.Transformers {
	t.Helper()
	c, err := Parse([]byte(header + "resources:\n" + rule("secrets", providers...)))
	if err != nil {
		t.Fatal(err)
	}
	of, err := c.Transformers()
	if err != nil {
		t.Fatal(err)
	}
	return of
}

func secret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name)},
		Data:       map[string][]byte{"password": []byte(hush)},
	}
}

func create(t testing.TB, s *store.Store, obj api.Object) *store.Item {
	t.Helper()
	kind := secretKind
	if _, ok := obj.(*corev1.ConfigMap); ok {
		kind = configMaps
	}
	item, err := s.Of(kind).Create(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// raw is the value of a key as it is in etcd.
func raw(t testing.TB, client *clientv3.Client, key string) (value []byte, rev int64) {
	t.Helper()
	resp, err := client.Get(t.Context(), key)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("%s: %d values, %v", key, len(resp.Kvs), err)
	}
	return resp.Kvs[0].Value, resp.Kvs[0].ModRevision
}

// noop is an update that changes nothing.
func noop(t *testing.T, s *store.Store, name string) {
	t.Helper()
	_, err := s.Of(secretKind).Update(t.Context(), "default", name, func(cur *store.Item) (api.Object, error) {
		return cur.Object().(*corev1.Secret).DeepCopy(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func password(t testing.TB, s *store.Store, name string) error {
	t.Helper()
	item, err := s.Of(secretKind).Get(t.Context(), "default", name, "")
	if err != nil {
		return err
	}
	if got := item.Object().(*corev1.Secret).Data["password"]; string(got) != hush {
		t.Errorf("%s reads %q", name, got)
	}
	return nil
}

// In etcd is what the configuration says; readers and watchers see the object.
func TestSecretsAreEncrypted(t *testing.T) {
	client, _ := startEtcd(t, t.TempDir())
	of := transformers(t, provider("aesgcm", "k="+key1), provider("identity"))
	s, _ := open(t, client, true, of)
	w, err := s.Of(secretKind).Watch(t.Context(), "", store.WatchOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, secret("default", "a"))
	create(t, s, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}, Data: map[string]string{"x": hush}})
	value, _ := raw(t, client, storage)
	if !bytes.HasPrefix(value, []byte("k8s:enc:aesgcm:v1:k:")) || bytes.Contains(value, []byte(hush)) {
		t.Errorf("the secret in etcd is %q", value)
	}
	if plain, _, err := of(secrets).TransformFromStorage(value, storage); err != nil || !bytes.HasPrefix(plain, []byte("k8s\x00")) || !bytes.Contains(plain, []byte(hush)) {
		t.Errorf("it decrypts to %q, %v", plain, err)
	}
	if value, _ := raw(t, client, "/registry/configmaps/default/a"); !bytes.HasPrefix(value, []byte("k8s\x00")) || !bytes.Contains(value, []byte(hush)) {
		t.Errorf("the config map in etcd is %q", value)
	}
	if err := password(t, s, "a"); err != nil {
		t.Error(err)
	}
	select {
	case e := <-w.Events():
		if got := e.Item.Object().(*corev1.Secret).Data["password"]; string(got) != hush {
			t.Errorf("a watcher reads %q", got)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("no event after 15 s")
	}
	// A page of the past comes out of etcd, not out of the cache.
	page, err := s.Of(secretKind).List(t.Context(), "", store.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, secret("default", "b"))
	past, err := s.Of(secretKind).List(t.Context(), "", store.ListOptions{Match: metav1.ResourceVersionMatchExact, ResourceVersion: fmt.Sprint(page.Revision)})
	if err != nil || len(past.Items) != 1 || string(past.Items[0].Object().(*corev1.Secret).Data["password"]) != hush {
		t.Errorf("a page of the past: %v, %+v", err, past)
	}
}

// An update that changes nothing is written where the value is not as it would be
// written now, once; that is how keys are rotated, on one server or on two.
func TestRotation(t *testing.T) {
	client, _ := startEtcd(t, t.TempDir())
	plain := transformers(t, provider("identity"))
	one, _ := open(t, client, false, plain)
	two, _ := open(t, client, false, plain)
	create(t, one, secret("default", "a"))
	step := func(what string, behind, ahead []string, prefix string) {
		t.Helper()
		_, before := raw(t, client, storage)
		one.SetTransformers(transformers(t, behind...))
		two.SetTransformers(transformers(t, ahead...))
		noop(t, two, "a")
		value, rev := raw(t, client, storage)
		if !bytes.HasPrefix(value, []byte(prefix)) {
			t.Errorf("%s: in etcd is %q, want %s", what, value, prefix)
		}
		if rev == before {
			t.Errorf("%s: a stale value was not written again", what)
		}
		noop(t, two, "a")
		if _, again := raw(t, client, storage); again != rev {
			t.Errorf("%s: what was not stale was written again", what)
		}
		for name, s := range map[string]*store.Store{"one": one, "two": two} {
			if err := password(t, s, "a"); err != nil {
				t.Errorf("%s: read by server %s: %v", what, name, err)
			}
		}
	}
	identity, box1, box12, box21 := provider("identity"), provider("secretbox", "1="+key1), provider("secretbox", "1="+key1, "2="+key2), provider("secretbox", "2="+key2, "1="+key1)
	step("encrypted for the first time", []string{identity, box1}, []string{box1, identity}, "k8s:enc:secretbox:v1:1:")
	one.SetTransformers(transformers(t, box12, identity))
	step("another key", []string{box12, identity}, []string{box21, identity}, "k8s:enc:secretbox:v1:2:")
	step("another provider", []string{provider("secretbox", "2="+key2), provider("aesgcm", "3="+key1)}, []string{provider("aesgcm", "3="+key1), provider("secretbox", "2="+key2)}, "k8s:enc:aesgcm:v1:3:")
	step("decrypted", []string{provider("aesgcm", "3="+key1), identity}, []string{identity, provider("aesgcm", "3="+key1)}, "k8s\x00")
}

// internal checks that err is a 500 that names the key in etcd.
func internal(t *testing.T, what string, err error, key string) {
	t.Helper()
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), fmt.Sprintf("unable to transform key %q", key)) {
		t.Errorf("%s: %v", what, err)
	}
}

// With a wrong key nothing is left out in silence, nothing is overwritten, and the right
// key puts all right without a restart.
func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	client, stopEtcd := startEtcd(t, dir)
	right := transformers(t, provider("aesgcm", "k="+key1))
	s, stop := open(t, client, true, right)
	create(t, s, secret("default", "a"))
	create(t, s, secret("other", "b"))
	stop()
	stopEtcd()

	client, _ = startEtcd(t, dir)
	before, rev := raw(t, client, storage)
	s, _ = open(t, client, true, transformers(t, provider("aesgcm", "k="+key2), provider("identity")))
	c, ctx := s.Of(secretKind), t.Context()
	internal(t, "get", password(t, s, "a"), storage)
	_, err := c.List(ctx, "", store.ListOptions{})
	internal(t, "list", err, storage)
	_, err = c.List(ctx, "other", store.ListOptions{})
	internal(t, "list of a namespace", err, "/registry/secrets/other/b")
	_, err = c.Watch(ctx, "", store.WatchOptions{ResourceVersion: "0"})
	internal(t, "watch", err, storage)
	_, err = c.Update(ctx, "default", "a", func(cur *store.Item) (api.Object, error) { return cur.Object(), nil })
	internal(t, "update", err, storage)
	_, err = c.Delete(ctx, "default", "a", nil)
	internal(t, "delete", err, storage)
	if _, err := c.Create(ctx, secret("default", "a")); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create in the place of a secret that cannot be read: %v", err)
	}
	// Others of the kind, and other kinds, are served.
	create(t, s, secret("third", "c"))
	if page, err := c.List(ctx, "third", store.ListOptions{}); err != nil || len(page.Items) != 1 {
		t.Errorf("list of another namespace: %v", err)
	}
	if _, err := s.Of(configMaps).List(ctx, "", store.ListOptions{}); err != nil {
		t.Error(err)
	}
	if value, now := raw(t, client, storage); now != rev || !bytes.Equal(value, before) {
		t.Error("the value in etcd has changed")
	}
	s.SetTransformers(transformers(t, provider("aesgcm", "k="+key1, "k="+key2)))
	wait.For(t, "all secrets are read", func() error {
		page, err := c.List(ctx, "", store.ListOptions{})
		return wait.Seen(err == nil && len(page.Items) == 3, err)
	})
	if err := password(t, s, "a"); err != nil {
		t.Error(err)
	}
}

// A ciphertext in another place of etcd is not taken for that object; where an object
// stood it is not seen as deleted.
func TestMovedCiphertext(t *testing.T) {
	client, _ := startEtcd(t, t.TempDir())
	s, _ := open(t, client, false, transformers(t, provider("aesgcm", "k="+key1)))
	c, ctx := s.Of(secretKind), t.Context()
	create(t, s, secret("default", "a"))
	create(t, s, secret("other", "b"))
	w, err := c.Watch(ctx, "", store.WatchOptions{ResourceVersion: fmt.Sprint(s.Revision())})
	if err != nil {
		t.Fatal(err)
	}
	own, _ := raw(t, client, "/registry/secrets/other/b")
	moved, _ := raw(t, client, storage)
	put := func(value []byte) {
		if _, err := client.Put(ctx, "/registry/secrets/other/b", string(value)); err != nil {
			t.Fatal(err)
		}
	}
	put(moved)
	_, err = c.Get(ctx, "other", "b", "")
	internal(t, "get", err, "/registry/secrets/other/b")
	_, err = c.List(ctx, "", store.ListOptions{})
	internal(t, "list", err, "/registry/secrets/other/b")
	if page, err := c.List(ctx, "default", store.ListOptions{}); err != nil || len(page.Items) != 1 {
		t.Errorf("list of another namespace: %v", err)
	}
	put(own)
	if _, err = c.Get(ctx, "other", "b", ""); err != nil {
		t.Error(err)
	}
	if page, err := c.List(ctx, "", store.ListOptions{}); err != nil || len(page.Items) != 2 {
		t.Errorf("list: %v", err)
	}
	select {
	case e := <-w.Events():
		if e.Type != "MODIFIED" || e.Item.Object().GetName() != "b" {
			t.Errorf("the first event is %s %s", e.Type, e.Item.Object().GetName())
		}
	case <-time.After(15 * time.Second):
		t.Fatal("no event after 15 s")
	}
}

// held is a transformer whose writes wait.
type held struct {
	store.Transformer
	entered chan chan struct{} // each write sends what it waits for to be closed
}

func (h held) TransformToStorage(data []byte, key string) ([]byte, error) {
	proceed := make(chan struct{})
	h.entered <- proceed
	<-proceed
	return h.Transformer.TransformToStorage(data, key)
}

// When keys are replaced, what was written with the former ones is in etcd: whoever
// rewrites all objects then misses none.
func TestWritesUnderWayAreWaitedFor(t *testing.T) {
	client, _ := startEtcd(t, t.TempDir())
	next := transformers(t, provider("secretbox", "2="+key2, "1="+key1))
	slow := held{transformers(t, provider("secretbox", "1="+key1))(secrets), make(chan chan struct{})}
	s, _ := open(t, client, true, func(gr schema.GroupResource) store.Transformer {
		if gr != secrets {
			return nil
		}
		return slow
	})
	made := make(chan error, 1)
	go func() {
		_, err := s.Of(secretKind).Create(t.Context(), secret("default", "a"))
		made <- err
	}()
	first := <-slow.entered
	replaced := make(chan int64, 1)
	go func() {
		s.SetTransformers(next)
		resp, err := client.Get(context.Background(), storage)
		if err != nil {
			t.Error(err)
		}
		replaced <- resp.Count
	}()
	// Writes that come meanwhile use the new ones.
	wait.For(t, "another secret is written with the new key", func() error {
		name := fmt.Sprint("n", time.Now().UnixNano())
		ok := make(chan error, 1)
		go func() {
			_, err := s.Of(secretKind).Create(t.Context(), secret("default", name))
			ok <- err
		}()
		select {
		case proceed := <-slow.entered:
			close(proceed)
			return wait.Seen(false, <-ok)
		case err := <-ok:
			return err
		}
	})
	close(first)
	if n := <-replaced; n != 1 {
		t.Error("the keys were replaced while a write with the former ones was under way")
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

// What encryption costs: a secret of the usual size, with and without it.
func BenchmarkCreate(b *testing.B) {
	for name, of := range map[string]store.Transformers{"plain": nil, "secretbox": transformers(b, provider("secretbox", "k="+key1)), "aesgcm": transformers(b, provider("aesgcm", "k="+key1))} {
		b.Run(name, func(b *testing.B) {
			client, _ := startEtcd(b, b.TempDir())
			s, _ := open(b, client, true, of)
			i := 0
			for b.Loop() {
				create(b, s, secret("default", fmt.Sprint(i)))
				i++
			}
		})
	}
}

func BenchmarkTransform(b *testing.B) {
	data := slices.Repeat([]byte("x"), 1500)
	for _, name := range []string{"secretbox", "aesgcm", "aescbc"} {
		tr := transformers(b, provider(name, "k="+key1))(secrets)
		value, err := tr.TransformToStorage(data, storage)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/to", func(b *testing.B) {
			for b.Loop() {
				_, _ = tr.TransformToStorage(data, storage)
			}
		})
		b.Run(name+"/from", func(b *testing.B) {
			for b.Loop() {
				_, _, _ = tr.TransformFromStorage(value, storage)
			}
		})
	}
}
