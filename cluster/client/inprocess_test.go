package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

func httpClient(t testing.TB, h http.HandlerFunc) *http.Client {
	t.Helper()
	c, err := rest.HTTPClientFor(InProcess(h, &User{Name: "alice", Groups: []string{"g"}}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWholeAnswer(t *testing.T) {
	c := httpClient(t, func(w http.ResponseWriter, r *http.Request) {
		in, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Who", UserFrom(r.Context()).Name)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, in)
	})
	resp, err := c.Post("http://in-process/a?b=c", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(resp.Body)
	if string(got) != "POST /a?b=c hello" || resp.StatusCode != 201 || resp.Header.Get("X-Who") != "alice" {
		t.Errorf("got %q %d %v", got, resp.StatusCode, resp.Header)
	}
	if resp.ContentLength != int64(len(got)) {
		t.Errorf("content length %d", resp.ContentLength)
	}
}

func TestStreamAndCancel(t *testing.T) {
	ended := make(chan struct{})
	next := make(chan string)
	c := httpClient(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.(http.Flusher).Flush()
		for {
			select {
			case s := <-next:
				fmt.Fprintln(w, s)
			case <-r.Context().Done():
				return
			}
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://x/watch", nil)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(resp.Body)
	for i := range 3 {
		next <- fmt.Sprint(i)
		if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
			t.Fatalf("line %d: %q, %v", i, line, err)
		}
	}
	cancel()
	if _, err := in.ReadByte(); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
	wait(t, ended)
}

func TestCloseEndsHandler(t *testing.T) {
	ended := make(chan error, 1)
	c := httpClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	})
	resp, err := c.Get("http://x/log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 3<<20)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := wait(t, ended); err == nil {
		t.Error("the handler's write succeeded")
	}
}

func TestLargeAnswerIsWholeAndInOrder(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // 4 MiB, above pipeLimit
	c := httpClient(t, func(w http.ResponseWriter, r *http.Request) {
		for p := want; len(p) > 0; {
			n := min(len(p), 10_000)
			_, _ = w.Write(p[:n])
			p = p[n:]
		}
	})
	resp, err := c.Get("http://x/list")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestPanicIsOneRequestsError(t *testing.T) {
	c := httpClient(t, func(http.ResponseWriter, *http.Request) { panic("boom") })
	if _, err := c.Get("http://x/"); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("error %v", err)
	}
}

func TestCancelBeforeAnswer(t *testing.T) {
	ended := make(chan struct{})
	c := httpClient(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(ended) })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://x/", nil)
	if _, err := c.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	wait(t, ended)
}

func TestClientsetSpeaksProtobuf(t *testing.T) {
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	h := func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Content-Type"); got != runtime.ContentTypeProtobuf {
			t.Errorf("content type %q", got)
		}
		data, _ := io.ReadAll(r.Body)
		obj, _, err := info.Serializer.Decode(data, nil, nil)
		if err != nil {
			t.Error(err)
		}
		out, _ := runtime.Encode(info.Serializer, obj)
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(out)
	}
	cs, err := kubernetes.NewForConfig(InProcess(http.HandlerFunc(h), nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cs.CoreV1().Pods("a").Create(context.Background(), &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "p"},
	}, metav1.CreateOptions{})
	if err != nil || got.Name != "p" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestKubeconfigRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "kubeconfig")
	k := Kubeconfig{Cluster: "wheelhouse", Server: "https://10.245.1.2:443", User: "admin", Token: "secret"}
	for range 2 {
		if err := WriteKubeconfig(path, k); err != nil {
			t.Fatal(err)
		}
	}
	c, err := FromKubeconfig(path)
	if err != nil || c.Host != k.Server || c.BearerToken != "secret" || c.QPS != -1 {
		t.Errorf("%+v, %v", c, err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if st, err = os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory's mode %v, %v", st.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.*"); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// The components that use this package must run against any cluster.
func TestImportsNothingOfTheServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.HasPrefix(dep, "wheelhouse/") && dep != "wheelhouse/cluster/client" {
			t.Errorf("imports %s", dep)
		}
	}
}

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("the handler did not end within 10 s")
		panic("unreachable")
	}
}

func BenchmarkGet(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 2048)
	c := httpClient(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(payload) })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := c.Get("http://x/api/v1/namespaces/default/pods/p")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	})
}

func BenchmarkGetOverLoopback(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 2048)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(payload) }))
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}

func BenchmarkWatchEvent(b *testing.B) {
	frame := bytes.Repeat([]byte("x"), 1000)
	var sent atomic.Int64
	c := httpClient(b, func(w http.ResponseWriter, r *http.Request) {
		f := w.(http.Flusher)
		f.Flush()
		for sent.Add(1) <= int64(b.N) {
			_, _ = w.Write(frame)
			f.Flush()
		}
	})
	b.ReportAllocs()
	resp, err := c.Get("http://x/watch")
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != int64(b.N*len(frame)) {
		b.Fatalf("%d bytes, %v", n, err)
	}
}
