package runner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/server"
	"wheelhouse/lab-runner/classroom/workbench"
)

// noBenches is a class whose learners all have clusters of their own.
type noBenches struct{}

func (noBenches) Ensure(context.Context, workbench.Learner) error { return nil }
func (noBenches) Remove(context.Context, workbench.Learner) error { return nil }
func (noBenches) Terminal(context.Context, workbench.Learner, workbench.Terminal) error {
	return nil
}

func (noBenches) Desk(context.Context, workbench.Learner, io.Reader, io.Writer) error { return nil }

// room is a class that is served by TLS, and a learner's own cluster.
type room struct {
	testing.TB
	root   string // of the labs
	client kubernetes.Interface
	roster *roster.Roster
	served *httptest.Server
	boss   *http.Client
	code   string
}

func newRoom(t testing.TB) *room {
	t.Helper()
	r := &room{TB: t}
	config := apitest.Start(t)
	r.root, r.client = learnerOn(t, config, "`kubectl get configmap page -o name` prints \"configmap/page\"")
	labs, err := catalog.Load(r.root)
	if err != nil {
		t.Fatal(err)
	}
	first := func() roster.Class { return roster.Class{Title: "A day", Labs: []string{"track/page"}} }
	r.roster, err = roster.Open(t.Context(), roster.Config{Client: kubernetes.NewForConfigOrDie(config), Namespace: "class", Limit: 3}, first)
	if err != nil {
		t.Fatal(err)
	}
	var s *server.Server
	r.served = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { s.Handler().ServeHTTP(w, q) }))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.served.Certificate().Raw})
	if s, err = server.New(server.Config{Roster: r.roster, Benches: noBenches{}, Streams: noBenches{}, Labs: labs, Assets: fstest.MapFS{}, CA: ca, Prefix: "/class/"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		r.served.CloseClientConnections()
		r.served.Close()
	})
	if r.code, err = r.roster.Code(t.Context()); err != nil {
		t.Fatal(err)
	}
	password, err := r.roster.NewPassword(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.boss = r.served.Client()
	if r.boss.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	q, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.address()+"api/instructor/login", strings.NewReader(`{"password":"`+password+`"}`))
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("X-Wheelhouse", "1")
	q.Header.Set("Origin", r.served.URL)
	res, err := r.boss.Do(q)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the instructor's login: %v %v", res, err)
	}
	_ = res.Body.Close()
	return r
}

func (r *room) address() string { return r.served.URL + "/class/" }

func (r *room) pin() string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(r.served.Certificate().Raw))
}

func (r *room) file() string {
	r.Helper()
	path, err := classPath()
	if err != nil {
		r.Fatal(err)
	}
	return path
}

// printed is what a command has printed.
type printed struct {
	out, err string
	failed   error
}

// lab runs a command of the learner.
func (r *room) lab(ctx context.Context, args ...string) printed {
	r.Helper()
	var out, errs bytes.Buffer
	c := Command()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetIn(strings.NewReader(""))
	c.SetOut(&out)
	c.SetErr(&errs)
	c.SetArgs(append(args, "--labs", r.root, "--kubeconfig", filepath.Join(r.root, "kubeconfig")))
	err := c.ExecuteContext(ctx)
	return printed{out.String(), errs.String(), err}
}

// works is lab for what may not fail, nor say anything on standard error.
func (r *room) works(args ...string) string {
	r.Helper()
	s := r.lab(r.Context(), args...)
	if s.failed != nil || s.err != "" {
		r.Fatalf("lab %v: %v\n%s\n%s", args, s.failed, s.out, s.err)
	}
	return s.out
}

// row returns the learner's row of the board.
func (r *room) row() (string, error) {
	q, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.address()+"api/board", nil)
	if err != nil {
		return "", err
	}
	res, err := r.boss.Do(q)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var board struct{ Learners []json.RawMessage }
	if err := json.NewDecoder(res.Body).Decode(&board); err != nil || len(board.Learners) != 1 {
		return "", fmt.Errorf("%d rows (%w)", len(board.Learners), err)
	}
	return string(board.Learners[0]), nil
}

// shows waits until the row has all texts.
func (r *room) shows(texts ...string) {
	r.Helper()
	wait.For(r, fmt.Sprintf("%q on the board", texts), func() error {
		row, err := r.row()
		if err != nil {
			return err
		}
		for _, text := range texts {
			if !strings.Contains(row, text) {
				return wait.Seen(false, row)
			}
		}
		return nil
	})
}

func (r *room) page(there bool) {
	r.Helper()
	var err error
	if pages := r.client.CoreV1().ConfigMaps("lab-page"); there {
		_, err = pages.Create(r.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "page"}}, metav1.CreateOptions{})
	} else {
		err = pages.Delete(r.Context(), "page", metav1.DeleteOptions{})
	}
	if err != nil {
		r.Fatal(err)
	}
}

// A learner with a cluster of their own joins, and what turns in a command, the full screen and a watch is on the board.
func TestJoin(t *testing.T) {
	r := newRoom(t)
	r.works("start", "page")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{r.address(), r.code}, "--ca-pin sha256:... (the instructor's terminal shows it) or --ca FILE"},
		{[]string{r.address(), r.code, "--ca-pin", "sha256:" + strings.Repeat("00", 32)}, "is not the pin"},
		{[]string{r.address(), r.code, "--ca-pin", "12"}, "64 hexadecimal digits"},
		{[]string{strings.Replace(r.address(), "https", "http", 1), r.code, "--ca-pin", r.pin()}, "over HTTPS"},
		{[]string{r.address(), "wrong", "--ca-pin", r.pin()}, "the class answers 403"},
		{[]string{r.address(), r.code, "--ca", filepath.Join(r.root, "kubeconfig")}, "want PEM"},
	} {
		s := r.lab(t.Context(), append([]string{"join", "--as", "Ada"}, test.args...)...)
		if s.failed == nil || !strings.Contains(s.failed.Error(), test.want) {
			t.Errorf("join %v: %v, want %s", test.args, s.failed, test.want)
		}
		if _, err := os.Stat(r.file()); err == nil || len(r.roster.Learners()) > 0 {
			t.Fatalf("join %v has joined", test.args)
		}
	}
	out := r.works("join", r.address(), r.code, "--as", "Ada", "--ca-pin", r.pin())
	_, back, _ := strings.Cut(out, "Your return code is ")
	back, _, _ = strings.Cut(back, ":")
	r.shows(`"name":"Ada"`, `"place":"own"`, `"lab":"track/page"`, `"steps":2`, `"checks":{"done":0,"todo":1,"lost":0}`) // at once
	if info, err := os.Stat(r.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}
	if out := r.works("status"); !strings.Contains(out, "class: as Ada at "+r.address()) {
		t.Errorf("status: %s", out)
	}
	r.page(true)
	r.works("check")
	r.shows(`"checks":{"done":1,"todo":0,"lost":0}`)

	// A watch.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan printed, 1)
	go func() { ended <- r.lab(ctx, "check", "--watch") }()
	r.page(false)
	r.shows(`"checks":{"done":0,"todo":0,"lost":1}`, `"red":"there is a page"`)
	r.page(true)
	r.shows(`"checks":{"done":1,"todo":0,"lost":0}`, `"red":""`)
	cancel()
	if s := <-ended; s.failed != nil || s.err != "" {
		t.Errorf("the watch: %v %s", s.failed, s.err)
	}

	// The full screen.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error, 1)
	s, _ := show(t, self, r.root, left)
	s.await("[x] there is a page")
	r.page(false)
	r.shows(`"lost":1`)
	s.press("q")
	if err := <-left; err != nil {
		t.Errorf("the full screen: %v", err)
	}

	// The class ends the session: one line, and no failure.
	if err := r.roster.SignOut(t.Context(), []string{r.roster.Learners()[0].ID}); err != nil {
		t.Fatal(err)
	}
	if s := r.lab(t.Context(), "check"); s.failed != nil || strings.Count(s.err, "\n") != 1 || !strings.Contains(s.err, "lab join' joins again") {
		t.Errorf("after the end of the session: %v %q", s.failed, s.err)
	}
	r.works("check")
	if out := r.works("status"); strings.Contains(out, "class:") {
		t.Errorf("status: %s", out)
	}

	// Back, without a pin in the name's way, and out.
	if s := r.lab(t.Context(), "join", r.address(), r.code, "--as", "Ada", "--ca-pin", r.pin()); s.failed == nil {
		t.Error("the name of another was given")
	}
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.served.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r.works("join", r.address(), r.code, "--as", "Ada", "--ca", ca, "--return-code", back)
	r.page(true)
	r.works("check")
	r.shows(`"done":1`)
	token, err := os.ReadFile(r.file())
	if err != nil {
		t.Fatal(err)
	}
	r.works("leave")
	if _, err := os.Stat(r.file()); err == nil {
		t.Error("leave has kept the file")
	}
	if s := r.lab(t.Context(), "leave"); s.failed == nil || !strings.Contains(s.failed.Error(), "in no class") {
		t.Errorf("a second leave: %v", s.failed)
	}
	// The session is over, and not only its file removed.
	if err := os.WriteFile(r.file(), token, 0o600); err != nil {
		t.Fatal(err)
	}
	r.page(false)
	if s := r.lab(t.Context(), "check"); s.failed != nil || !strings.Contains(s.err, "joins again") {
		t.Errorf("with the token of before: %v %q", s.failed, s.err)
	}

	// A class that is gone fails nothing.
	r.works("join", r.address(), r.code, "--as", "Ada", "--ca", ca, "--return-code", back)
	r.served.CloseClientConnections()
	r.served.Close()
	r.page(true)
	gone := r.lab(t.Context(), "check")
	if gone.failed != nil || !strings.Contains(gone.out, "done ") || strings.Count(gone.err, "\n") != 1 || !strings.Contains(gone.err, "cannot be reached") {
		t.Errorf("without the class: %v\n%s\n%q", gone.failed, gone.out, gone.err)
	}
	if s := r.lab(t.Context(), "leave"); s.failed != nil || !strings.Contains(s.err, "was not reached") {
		t.Errorf("leave without the class: %v %q", s.failed, s.err)
	}
}
