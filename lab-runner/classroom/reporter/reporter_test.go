package reporter

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"

	"wheelhouse/lab-runner/session"
)

// host is a class whose answers the test decides.
func host(t *testing.T, answer http.HandlerFunc) (*httptest.Server, *Class) {
	t.Helper()
	s := httptest.NewTLSServer(answer)
	t.Cleanup(s.Close)
	address, err := Address(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return s, &Class{Address: address, Authority: PEM(s.Certificate()), Token: "secret", Name: "Ada"}
}

func opened(t *testing.T, c *Class) (*Reporter, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state", "class.json")
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file: %v %v", info, err)
	}
	r, err := Open(path)
	if err != nil || r == nil {
		t.Fatalf("%v %v", r, err)
	}
	return r, path
}

func state(lab string) session.View {
	return session.View{
		Lab: lab, Steps: []session.StepView{{Title: "One"}},
		Checks: []session.CheckView{
			{Name: "a", State: session.Done},
			{Name: "b", State: session.ToDo, Reason: &session.Reason{Seen: "what a command printed", Wanted: "a pod", Event: "the image\x1b[2J is not there"}},
			{Name: "c", State: session.ToDo},
		},
	}
}

func TestTheNewestStateIsSentAndNoOutput(t *testing.T) {
	var lock sync.Mutex
	var got []string
	_, class := host(t, func(w http.ResponseWriter, r *http.Request) {
		var all map[string]any
		_ = json.NewDecoder(r.Body).Decode(&all)
		text, _ := json.Marshal(all)
		lock.Lock()
		got = append(got, r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(text))
		lock.Unlock()
		fmt.Fprintln(w, "{}")
	})
	r, _ := opened(t, class)
	for i := range 1000 {
		r.Note(state(fmt.Sprintf("lab-%d", i)))
	}
	if err := r.Close(time.Minute); err != nil {
		t.Fatal(err)
	}
	r.Note(state("late"))
	lock.Lock()
	defer lock.Unlock()
	if len(got) == 0 || len(got) > 3 {
		t.Fatalf("%d requests: %v", len(got), got)
	}
	last := got[len(got)-1]
	for _, want := range []string{"/api/report Bearer secret ", `"lab":"lab-999"`, `"checks":{"done":1,"lost":0,"todo":2}`, `"red":"b"`, `"redSince":"2`, `"cause":"the image^[[2J is not there"`} {
		if !strings.Contains(last, want) {
			t.Errorf("no %s in %s", want, last)
		}
	}
	if strings.Contains(last, "printed") {
		t.Errorf("the output of a command was sent: %s", last)
	}
}

// hostile are the answers of a hostile class, until end is closed.
var hostile = []struct {
	name, want string
	answer     func(w http.ResponseWriter, r *http.Request, end <-chan struct{})
}{
	{"it does not answer", "no answer in time", func(_ http.ResponseWriter, _ *http.Request, end <-chan struct{}) { <-end }},
	{"it begins, and stops", "no answer in time", func(w http.ResponseWriter, _ *http.Request, end <-chan struct{}) {
		_, _ = w.Write([]byte("{"))
		_ = http.NewResponseController(w).Flush()
		<-end
	}},
	{"an answer without end", "not that of a class", func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) { endless(w) }},
	{"an error without end", "answers 418", func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		w.WriteHeader(http.StatusTeapot)
		endless(w)
	}},
	{"large headers", "cannot be reached", func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		w.Header().Set("X-Large", strings.Repeat("x", 1<<20))
	}},
	{"an error that is no line", "answers 400: a ^[[2Ja", func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": strings.Repeat("a\n\x1b[2J", 500)})
	}},
}

func endless(w http.ResponseWriter) {
	for chunk := []byte(strings.Repeat("x", 8192)); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Whatever the other side does, the end of a command comes, and the reason is one short line.
func TestHostileClass(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.name, func(t *testing.T) {
			end := make(chan struct{})
			_, class := host(t, func(w http.ResponseWriter, r *http.Request) { test.answer(w, r, end) })
			t.Cleanup(func() { close(end) })
			r, _ := opened(t, class)
			r.Note(state("lab"))
			patience := time.Minute // for what is answered
			if test.want == "no answer in time" {
				patience = 100 * time.Millisecond
			}
			err := r.Close(patience)
			if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q, want %s", err, test.want)
			}
		})
	}
}

// Another host gets nothing, not even if the class sends there.
func TestARedirectIsNotFollowed(t *testing.T) {
	asked := make(chan string, 16)
	there, _ := host(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path })
	_, class := host(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, there.URL+"/stolen", http.StatusTemporaryRedirect)
	})
	if _, err := class.Join(t.Context(), "code", "back", "before"); err == nil || !strings.Contains(err.Error(), "not followed") {
		t.Errorf("join: %v", err)
	}
	r, _ := opened(t, class)
	r.Note(state("lab"))
	if err := r.Close(time.Minute); err == nil || !strings.Contains(err.Error(), "not followed") {
		t.Errorf("report: %v", err)
	}
	if _, err := Offered(t.Context(), class.Address); err != nil { // its own certificates, from the connection
		t.Errorf("%v", err)
	}
	if len(asked) > 0 {
		t.Errorf("the other host was asked for %s", <-asked)
	}
}

// The token is sent to nobody without a certificate of the authority that was agreed to.
func TestAnotherAuthority(t *testing.T) {
	asked := make(chan string, 16)
	_, class := host(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path })
	own, _, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	class.Authority = string(own)
	r, _ := opened(t, class)
	r.Note(state("lab"))
	if err := r.Close(time.Minute); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("report: %v", err)
	}
	if _, err := class.Join(t.Context(), "code", "", ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("join: %v", err)
	}
	if len(asked) > 0 {
		t.Errorf("it was asked for %s", <-asked)
	}
	offered, err := Offered(t.Context(), class.Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Pinned(offered, [sha256.Size]byte{1}); err == nil {
		t.Error("a wrong pin is accepted")
	}
	pin, err := ParsePin("SHA-256 " + Fingerprint(offered[0]))
	if found, pinErr := Pinned(offered, pin); err != nil || pinErr != nil || PEM(found) != PEM(offered[0]) {
		t.Errorf("the pin as it is shown: %v %v", err, pinErr)
	}
}

func TestTheSessionIsOver(t *testing.T) {
	_, class := host(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	r, path := opened(t, class)
	r.Note(state("lab"))
	if err := r.Close(time.Minute); !errors.Is(err, ErrEnded) {
		t.Errorf("%v", err)
	}
	if r, err := Open(path); r != nil || err != nil {
		t.Errorf("afterwards: %v %v", r, err)
	}
}
