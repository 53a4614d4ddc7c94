package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"

	"wheelhouse/cluster/api/builtin"
)

// What is in etcd is byte for byte what Kubernetes' own serializer writes.
func TestValueIsAsUpstream(t *testing.T) {
	s := newStore(t)
	p := pod("default", "a")
	must(t)(s.Of(pods).Create(t.Context(), p))
	must(t)(s.Of(services).Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}))
	resp, err := s.Client.Get(t.Context(), "/registry/pods/default/a")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	p.SetGroupVersionKind(pods.GroupVersionKind)
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(p, &want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(resp.Kvs[0].Value, want.Bytes()) {
		t.Errorf("stored:\n%q\nupstream:\n%q", resp.Kvs[0].Value, want.Bytes())
	}
	if resp, err := s.Client.Get(t.Context(), "/registry/services/specs/default/s"); err != nil || resp.Count != 1 {
		t.Errorf("the service is not where Kubernetes has it: %v", err)
	}
}

// Clients read back from either encoding what was written, with its resourceVersion.
func TestEncodings(t *testing.T) {
	c := newStore(t).Of(pods)
	made := must(t)(c.Create(t.Context(), pod("default", "a")))
	want := made.Object().DeepCopyObject().(*corev1.Pod)
	want.TypeMeta = metav1.TypeMeta{}
	for _, m := range []MediaType{JSON, Protobuf} {
		b, err := made.Encoded(m)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := scheme.Codecs.UniversalDeserializer().Decode(b, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got.(*corev1.Pod).TypeMeta = metav1.TypeMeta{}
		if !equality.Semantic.DeepEqual(got, want) || want.ResourceVersion != fmt.Sprint(made.Revision()) {
			t.Errorf("encoding %d gives\n%+v\nwant\n%+v", m, got, want)
		}
		if again, _ := made.Encoded(m); &again[0] != &b[0] {
			t.Errorf("encoding %d is recreated for each reader", m)
		}
	}
	var upstream bytes.Buffer
	encoder := jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, jsonserializer.SerializerOptions{})
	if err := encoder.Encode(made.Object(), &upstream); err != nil {
		t.Fatal(err)
	}
	if b, _ := made.Encoded(JSON); !bytes.Equal(b, upstream.Bytes()) {
		t.Errorf("JSON is\n%s\nupstream\n%s", b, upstream.Bytes())
	}
	var bare corev1.Pod
	if err := bare.Unmarshal(made.Message()); err != nil || !equality.Semantic.DeepEqual(&bare, want) {
		t.Errorf("Message: %v, %+v", err, bare)
	}
}

// client-go's own decoders read the watch frames.
func TestFrames(t *testing.T) {
	c := newStore(t).Of(pods)
	w := follow(t, c, "", WatchOptions{ResourceVersion: "0"})
	made := must(t)(c.Create(t.Context(), pod("default", "a")))
	e := next(t, w)
	codecs := serializer.NewCodecFactory(scheme.Scheme)
	for m, media := range map[MediaType]string{JSON: "application/json", Protobuf: "application/vnd.kubernetes.protobuf"} {
		frame, err := e.Frame(m)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), media)
		reader := info.StreamSerializer.NewFrameReader(nopCloser{bytes.NewReader(frame)})
		var event metav1.WatchEvent
		if _, _, err := streaming.NewDecoder(reader, info.StreamSerializer.Serializer).Decode(nil, &event); err != nil {
			t.Fatalf("%s: %v\n%q", media, err, frame)
		}
		obj, _, err := info.Serializer.Decode(event.Object.Raw, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", media, err)
		}
		got := obj.(*corev1.Pod)
		if event.Type != string(watch.Added) || got.Name != "a" || got.ResourceVersion != fmt.Sprint(made.Revision()) {
			t.Errorf("%s: %s %s at %s", media, event.Type, got.Name, got.ResourceVersion)
		}
		if again, _ := e.Frame(m); &again[0] != &frame[0] {
			t.Errorf("%s: the frame is recreated for each watcher", media)
		}
	}
	c.tick()
	c.tick()
	if made.json.Load() != nil {
		t.Error("JSON that nobody asks for is kept")
	}
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// Whatever stands in etcd is either an object or an error.
func FuzzOpenValue(f *testing.F) {
	body, err := encodeBody(pods, pod("default", "a"))
	if err != nil {
		f.Fatal(err)
	}
	c, err := newCollection(&source{}, pods)
	if err != nil {
		f.Fatal(err)
	}
	value, _ := envelope(c.format.head, body, nil)
	f.Add(value)
	f.Add([]byte("k8s\x00"))
	f.Add([]byte(`{"kind":"Pod"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		body, err := openValue(pods, value)
		if err != nil {
			return
		}
		item, err := newItem(c.format, "k", 7, body)
		if err != nil {
			return
		}
		if item.Object().GetResourceVersion() != "7" {
			t.Errorf("resourceVersion %q", item.Object().GetResourceVersion())
		}
		if b, err := item.Encoded(JSON); err == nil && !json.Valid(b) {
			t.Errorf("not JSON: %q", b)
		}
		again := &corev1.Pod{}
		if err := again.Unmarshal(item.Message()); err != nil || again.ResourceVersion != "7" {
			t.Errorf("message: %v, resourceVersion %q", err, again.ResourceVersion)
		}
	})
}

// Every kind of the table can be stored, under a prefix of its own.
func TestAllKinds(t *testing.T) {
	s, err := New(Config{Client: embedded(t, t.TempDir()), Kinds: builtin.Kinds, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range builtin.Kinds {
		if k.Virtual {
			continue
		}
		mark, err := s.Of(k).bookmark(7, true)
		if err != nil {
			t.Errorf("%s: %v", k.Kind, err)
		} else if got := mark.Item.Object().GetResourceVersion(); got != "7" {
			t.Errorf("%s: resourceVersion %q", k.Kind, got)
		}
	}
}
