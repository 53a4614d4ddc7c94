package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/apitest"
)

// class is one of a real API server.
type class struct {
	*testing.T
	config *rest.Config // of the server
	cfg    Config
	r      *Roster
}

// open opens the class, as a process does that starts.
func (c *class) open() *Roster {
	c.Helper()
	r, err := Open(c.Context(), c.cfg, func() Class { return Class{Title: "A day", Labs: []string{"workshop/one", "workshop/two"}} })
	if err != nil {
		c.Fatal(err)
	}
	return r
}

func (c *class) try(r *Roster, name, returnCode string) (Joined, error) {
	c.Helper()
	code, err := r.Code(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return r.Join(c.Context(), Join{Code: strings.ToUpper(code), Name: name, Return: returnCode, Place: Room})
}

func (c *class) join(name string) Joined {
	c.Helper()
	j, err := c.try(c.r, name, "")
	if err != nil {
		c.Fatal(err)
	}
	return j
}

// TestRoster has one API server; each class has a namespace of its own.
func TestRoster(t *testing.T) {
	config := apitest.Start(t)
	client := kubernetes.NewForConfigOrDie(config)
	for i, test := range []struct {
		name string
		run  func(*class)
	}{
		{"a learner comes back to where they were", comesBack},
		{"a name is one person's", nameIsTaken},
		{"names", names},
		{"the class is full", full},
		{"a restart loses nothing", restart},
		{"two processes do not undo each other", twoProcesses},
		{"one process sees what another writes", follows},
		{"the password is for one login", oneLogin},
		{"no credential is stored", hashesOnly},
		{"a removed learner is gone", removed},
		{"sessions end", sessionsEnd},
		{"a later state of sessions is kept", sessionsInOrder},
		{"a replaced code is none", replacedCode},
		{"an expired session is none", expired},
		{"a bearer token is no cookie", bearer},
		{"the progress is bounded", bounded},
		{"what is open for one and for all", permits},
		{"a subscription gets what it is for", subscriptions},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &class{T: t, config: config, cfg: Config{Client: client, Namespace: fmt.Sprintf("class-%d", i), Limit: 3}}
			c.r = c.open()
			test.run(c)
		})
	}
}

func comesBack(c *class) {
	first := c.join("Ada")
	if !first.New || len(first.Return) != 14 || first.Learner.Name != "Ada" {
		c.Fatalf("joined: %+v", first)
	}
	if err := c.r.Update(c.Context(), first.Learner.ID, func(l *Learner) { l.At.Lab = "workshop/one" }); err != nil {
		c.Fatal(err)
	}
	again, err := c.try(c.r, "ada ", strings.ToUpper(strings.ReplaceAll(first.Return, "-", " ")))
	if err != nil || again.New || again.Learner.ID != first.Learner.ID || again.Learner.At.Lab != "workshop/one" || again.Return != "" {
		c.Fatalf("back: %+v, %v", again, err)
	}
	if again.Token == first.Token {
		c.Error("the new session has the token of the earlier one")
	}
	// With the session alone: the page was reloaded. Its token ends.
	code, _ := c.r.Code(c.Context())
	third, err := c.r.Join(c.Context(), Join{Code: code, Name: "Ada", Token: again.Token, Place: Room})
	if err != nil || third.Learner.ID != first.Learner.ID {
		c.Fatalf("back by session: %+v, %v", third, err)
	}
	if _, err := c.r.Session(again.Token, false); !errors.Is(err, ErrNotFound) {
		c.Errorf("the replaced session: %v", err)
	}
	if l, err := c.r.Session(third.Token, false); err != nil || l.ID != first.Learner.ID {
		c.Errorf("the new session: %+v, %v", l, err)
	}
}

func nameIsTaken(c *class) {
	ada := c.join("Ada")
	bob := c.join("Bob")
	for _, test := range []struct {
		name, returnCode string
		want             error
	}{{"ADA", "", ErrNameTaken}, {"Ada", "aaaa-bbbb-cccc", ErrWrongReturn}, {"Ada", bob.Return, ErrWrongReturn}} {
		if _, err := c.try(c.r, test.name, test.returnCode); !errors.Is(err, test.want) {
			c.Errorf("%s with %q: %v, want %v", test.name, test.returnCode, err, test.want)
		}
	}
	code, _ := c.r.Code(c.Context())
	if _, err := c.r.Join(c.Context(), Join{Code: code, Name: "Ada", Token: bob.Token}); !errors.Is(err, ErrNameTaken) {
		c.Errorf("with the session of another: %v", err)
	}
	for _, wrong := range []string{"", "aaaa-bbbb", code + "a", code[:8]} {
		if _, err := c.r.Join(c.Context(), Join{Code: wrong, Name: "Ada", Return: ada.Return}); !errors.Is(err, ErrWrongCode) {
			c.Errorf("code %q: %v", wrong, err)
		}
	}
	var wg sync.WaitGroup
	won := make(chan string, 8)
	for range 8 {
		wg.Go(func() {
			if j, err := c.try(c.r, "Cleo", ""); err == nil {
				won <- j.Learner.ID
			}
		})
	}
	if wg.Wait(); len(won) != 1 {
		c.Errorf("%d joins at once took one name", len(won))
	}
}

func names(c *class) {
	for name, want := range map[string]string{strings.Repeat(" ", 2) + "Zoë   M. ": "Zoë M.", "": "", "a\x1b[31m": "", "a\nb": "", "\u202eevil": "", strings.Repeat("x", 65): "", strings.Repeat("\ufdfa", 21): ""} {
		j, err := c.try(c.r, name, "")
		if j.Learner.Name != want || (err == nil) != (want != "") {
			c.Errorf("%q is kept as %q, %v; want %q", name, j.Learner.Name, err, want)
		}
	}
}

func full(c *class) {
	for i := range 3 {
		c.join(fmt.Sprint("learner ", i))
	}
	if _, err := c.try(c.r, "one more", ""); !errors.Is(err, ErrFull) {
		c.Errorf("the fourth of three: %v", err)
	}
}

func restart(c *class) {
	ada := c.join("Ada")
	code, _ := c.r.Code(c.Context())
	password, _ := c.r.NewPassword(c.Context())
	token, err := c.r.Login(c.Context(), password)
	if err != nil {
		c.Fatal(err)
	}
	if err := c.r.UpdateClass(c.Context(), func(k *Class) { k.Message, k.Slide = "Lunch at noon", &Slide{"workshop", 4} }); err != nil {
		c.Fatal(err)
	}
	work := json.RawMessage(`{"version":1,"labs":{}}`)
	if err := c.r.Update(c.Context(), ada.Learner.ID, func(l *Learner) { l.Progress, l.At.Done = work, 3 }); err != nil {
		c.Fatal(err)
	}
	after := c.open()
	if k := after.Class(); k.Message != "Lunch at noon" || k.Slide == nil || k.Slide.Page != 4 || k.Title != "A day" {
		c.Errorf("the class: %+v", k)
	}
	if l, err := after.Session(ada.Token, false); err != nil || string(l.Progress) != string(work) || l.At.Done != 3 {
		c.Errorf("the learner: %+v, %v", l, err)
	}
	if same, _ := after.Code(c.Context()); same != code || !after.Instructor(token) {
		c.Errorf("the code is %s, was %s; the instructor's session is valid: %v", same, code, after.Instructor(token))
	}
	if back, err := c.try(after, "Ada", ada.Return); err != nil || back.Learner.ID != ada.Learner.ID {
		c.Errorf("back: %+v, %v", back, err)
	}
}

func twoProcesses(c *class) {
	ada := c.join("Ada")
	other := c.open() // its cache does not follow
	for i, r := range []*Roster{c.r, other, c.r, other} {
		if err := r.Update(c.Context(), ada.Learner.ID, func(l *Learner) { l.Minutes++ }); err != nil {
			c.Fatal(err)
		}
		if err := r.UpdateClass(c.Context(), func(k *Class) { k.Open = Set(k.Open, fmt.Sprint("lab/", i), true) }); err != nil {
			c.Fatal(err)
		}
	}
	if l, _ := other.Learner(ada.Learner.ID); l.Minutes != 4 || len(other.Class().Open) != 4 {
		c.Errorf("after four changes: %d minutes, open %v", l.Minutes, other.Class().Open)
	}
}

// eventually waits until a condition holds after a signal.
func eventually(c *class, changed <-chan struct{}, what string, holds func() bool) {
	c.Helper()
	for !holds() {
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			c.Fatalf("it was never seen that %s", what)
		}
	}
}

func follows(c *class) {
	other := c.open()
	ctx, cancel := context.WithCancel(c.Context())
	done := make(chan error, 1)
	go func() { done <- other.Run(ctx) }()
	changed, end := other.Subscribe()
	defer end()
	ada := c.join("Ada")
	eventually(c, changed, "Ada has joined", func() bool { return other.Count() == 1 })
	_ = c.r.UpdateClass(c.Context(), func(k *Class) { k.Message = "hello" })
	eventually(c, changed, "there is a message", func() bool { return other.Class().Message == "hello" })
	if err := c.r.Remove(c.Context(), ada.Learner.ID); err != nil {
		c.Fatal(err)
	}
	eventually(c, changed, "Ada was removed", func() bool { return other.Count() == 0 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		c.Errorf("Run: %v", err)
	}
}

func oneLogin(c *class) {
	if _, err := c.r.Login(c.Context(), ""); !errors.Is(err, ErrPassword) {
		c.Errorf("a login without any password: %v", err)
	}
	earlier, _ := c.r.NewPassword(c.Context())
	password, err := c.open().NewPassword(c.Context()) // of another process
	if err != nil {
		c.Fatal(err)
	}
	if _, err := c.r.Login(c.Context(), earlier); !errors.Is(err, ErrPassword) {
		c.Errorf("the replaced password: %v", err)
	}
	var wg sync.WaitGroup
	tokens := make(chan string, 6)
	for range 6 {
		wg.Go(func() {
			if token, err := c.r.Login(c.Context(), strings.ToUpper(password)); err == nil {
				tokens <- token
			}
		})
	}
	if wg.Wait(); len(tokens) != 1 {
		c.Fatalf("%d of 6 logins with one password", len(tokens))
	}
	token := <-tokens
	if !c.r.Instructor(token) || c.r.Instructor("") || c.r.Instructor(token+"x") {
		c.Error("the session is not the one that was made")
	}
	if err := c.r.Logout(c.Context(), token); err != nil || c.r.Instructor(token) {
		c.Errorf("after the logout (%v) the session is valid", err)
	}
}

func hashesOnly(c *class) {
	ada := c.join("Ada")
	unused, _ := c.r.NewPassword(c.Context())
	secrets, err := c.cfg.Client.CoreV1().Secrets(c.cfg.Namespace).List(c.Context(), metav1.ListOptions{})
	if err != nil || len(secrets.Items) != 2 {
		c.Fatalf("%d secrets, %v", len(secrets.Items), err)
	}
	maps, err := c.cfg.Client.CoreV1().ConfigMaps(c.cfg.Namespace).List(c.Context(), metav1.ListOptions{})
	if err != nil {
		c.Fatal(err)
	}
	var all strings.Builder
	for _, s := range secrets.Items {
		all.Write(s.Data[credentialsKey])
	}
	fmt.Fprint(&all, maps.Items)
	for what, secret := range map[string]string{"token": ada.Token, "return code": ada.Return, "return code as it is compared": typed(ada.Return), "password": typed(unused)} {
		if strings.Contains(all.String(), secret) {
			c.Errorf("the %s is stored: %s", what, all.String())
		}
	}
	if !strings.Contains(all.String(), hash(ada.Token)) {
		c.Error("not even the hash is stored, so that this test shows nothing")
	}
}

func removed(c *class) {
	ada := c.join("Ada")
	if err := c.r.Remove(c.Context(), ada.Learner.ID); err != nil {
		c.Fatal(err)
	}
	if _, err := c.r.Session(ada.Token, false); !errors.Is(err, ErrNotFound) {
		c.Errorf("the session: %v", err)
	}
	if err := c.r.Update(c.Context(), ada.Learner.ID, func(l *Learner) { l.Minutes = 7 }); !errors.Is(err, ErrNotFound) {
		c.Errorf("a change: %v", err)
	}
	if again := c.join("Ada"); again.Learner.ID == ada.Learner.ID {
		c.Error("who takes the name of a removed learner has their objects")
	}
	// Credentials whose learner is gone are removed by the process that serves, not those of who joins at the moment.
	if _, err := c.r.createSecret(c.Context(), prefix+"gone2345", ofLearner, credentials{}); err != nil {
		c.Fatal(err)
	}
	later := func() time.Time { return time.Now().Add(2 * joinTime) }
	for _, test := range []struct {
		prune bool
		now   func() time.Time
		want  int
	}{{false, later, 3}, {true, time.Now, 3}, {true, later, 2}} {
		c.cfg.Prune, c.cfg.Now = test.prune, test.now
		c.open()
		if list, err := c.cfg.Client.CoreV1().Secrets(c.cfg.Namespace).List(c.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != test.want {
			c.Errorf("pruning %v: %d secrets, want %d (%v)", test.prune, len(list.Items), test.want, err)
		}
	}
}

func sessionsEnd(c *class) {
	ada, bob := c.join("Ada"), c.join("Bob")
	if err := c.r.SignOut(c.Context(), []string{ada.Learner.ID, "nobody"}); err != nil {
		c.Fatal(err)
	}
	if _, err := c.r.Session(ada.Token, false); !errors.Is(err, ErrNotFound) {
		c.Errorf("the ended session: %v", err)
	}
	if _, err := c.r.Session(bob.Token, false); err != nil {
		c.Errorf("the session of another: %v", err)
	}
	var last Joined
	for range maxSessions + 1 {
		var err error
		if last, err = c.try(c.r, "Bob", bob.Return); err != nil {
			c.Fatal(err)
		}
	}
	if _, err := c.r.Session(bob.Token, false); !errors.Is(err, ErrNotFound) {
		c.Errorf("the oldest of seven sessions: %v", err)
	}
	if _, err := c.r.Session(last.Token, false); err != nil {
		c.Errorf("the newest: %v", err)
	}
}

// sessionsInOrder: of two changes at once the later one is kept, whichever ends first here.
func sessionsInOrder(c *class) {
	ada := c.join("Ada")
	name := prefix + ada.Learner.ID
	early, _, err := c.r.readSecret(c.Context(), name)
	if err != nil {
		c.Fatal(err)
	}
	if err := c.r.SignOut(c.Context(), []string{ada.Learner.ID}); err != nil {
		c.Fatal(err)
	}
	c.r.mu.Lock()
	c.r.takeSessions(name, early.ResourceVersion, credentials{Sessions: []storedSession{{Hash: hash(ada.Token), Until: time.Now().Add(time.Hour)}}})
	c.r.mu.Unlock()
	if _, err := c.r.Session(ada.Token, false); !errors.Is(err, ErrNotFound) {
		c.Errorf("a session that has ended is valid again: %v", err)
	}
}

// hooked calls hook before each request of a client.
type hooked struct {
	next http.RoundTripper
	hook func(*http.Request)
}

func (h hooked) RoundTrip(r *http.Request) (*http.Response, error) {
	h.hook(r)
	return h.next.RoundTrip(r)
}

// replacedCode: nobody joins with a code that was replaced, nor is one replaced between its comparison and the end of the join.
func replacedCode(c *class) {
	reads, unlocked := 0, 0
	config := rest.CopyConfig(c.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return hooked{next, func(r *http.Request) {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/secrets/"+className) {
				return
			}
			reads++
			if c.r.joining.TryLock() {
				c.r.joining.Unlock()
				unlocked++
			}
		}}
	})
	c.cfg.Client = kubernetes.NewForConfigOrDie(config)
	c.r = c.open()
	join := Join{Name: "Ada", Place: Room}
	join.Code, _ = c.r.Code(c.Context())
	reads, unlocked = 0, 0
	if _, err := c.r.Join(c.Context(), join); err != nil {
		c.Fatal(err)
	}
	if _, err := c.r.NewCode(c.Context()); err != nil {
		c.Fatal(err)
	}
	if reads < 2 || unlocked > 0 {
		c.Errorf("of %d reads of the room's code, %d were without the lock of joins", reads, unlocked)
	}
	join.Name = "Bob"
	if _, err := c.r.Join(c.Context(), join); !errors.Is(err, ErrWrongCode) {
		c.Errorf("with the code that was replaced: %v", err)
	}
}

func expired(c *class) {
	ada := c.join("Ada")
	now := time.Now()
	c.cfg.Now = func() time.Time { return now.Add(LearnerSession + time.Minute) }
	if _, err := c.open().Session(ada.Token, false); !errors.Is(err, ErrNotFound) {
		c.Errorf("the session after a week: %v", err)
	}
}

func bearer(c *class) {
	code, _ := c.r.Code(c.Context())
	j, err := c.r.Join(c.Context(), Join{Code: code, Name: "Ada", Client: true, Place: Own})
	if err != nil || j.Learner.Place != Own {
		c.Fatalf("%+v, %v", j, err)
	}
	if _, err := c.r.Session(j.Token, false); !errors.Is(err, ErrNotFound) {
		c.Errorf("as a cookie: %v", err)
	}
	if _, err := c.r.Session(j.Token, true); err != nil {
		c.Errorf("as a token: %v", err)
	}
	if c.r.Instructor(j.Token) {
		c.Error("a learner's token is an instructor's")
	}
}

func bounded(c *class) {
	ada := c.join("Ada")
	err := c.r.Update(c.Context(), ada.Learner.ID, func(l *Learner) { l.Progress = make([]byte, MaxProgress+1) })
	if l, _ := c.r.Learner(ada.Learner.ID); err == nil || l.Progress != nil {
		c.Errorf("a progress of more than %d bytes: %v", MaxProgress, err)
	}
}

func permits(c *class) {
	k := &Class{Labs: []string{"a/one", "a/two"}, Open: map[string]bool{"a/one": true, "b/other": true}, Released: map[string]bool{"a/one#2": true}}
	l := &Learner{Open: map[string]bool{"a/two": true}, Released: map[string]bool{"a/two": true, "a/one#2": false}}
	for _, test := range []struct {
		l    *Learner
		lab  string
		want bool
	}{{&Learner{}, "a/one", true}, {&Learner{}, "a/two", false}, {l, "a/two", true}, {l, "b/other", false}, {&Learner{Open: map[string]bool{"a/one": false}}, "a/one", false}} {
		if got := Opened(k, test.l, test.lab); got != test.want {
			c.Errorf("%s is open: %v", test.lab, got)
		}
	}
	for _, test := range []struct {
		l    *Learner
		lab  string
		step int
		want bool
	}{{&Learner{}, "a/one", 2, true}, {&Learner{}, "a/one", 3, false}, {l, "a/one", 2, false}, {l, "a/two", 7, true}} {
		if got := Released(k, test.l, test.lab, test.step); got != test.want {
			c.Errorf("step %d of %s is released: %v", test.step, test.lab, got)
		}
	}
}

func subscriptions(c *class) {
	ada, bob := c.join("Ada"), c.join("Bob")
	changed, end := c.r.Subscribe(ada.Learner.ID)
	if err := c.r.Update(c.Context(), bob.Learner.ID, func(l *Learner) { l.Minutes++ }); err != nil {
		c.Fatal(err)
	}
	select {
	case <-changed:
		c.Error("a change of Bob is one of Ada")
	default:
	}
	for what, change := range map[string]func() error{
		"Ada":   func() error { return c.r.Update(c.Context(), ada.Learner.ID, func(l *Learner) { l.Minutes++ }) },
		"class": func() error { return c.r.UpdateClass(c.Context(), func(k *Class) { k.Message += "!" }) },
		"touch": func() error { c.r.Touch(ada.Learner.ID); return nil },
	} {
		if err := change(); err != nil {
			c.Fatal(err)
		}
		select {
		case <-changed:
		default:
			c.Errorf("%s: no signal", what)
		}
	}
	end()
	c.r.Touch(ada.Learner.ID)
	select {
	case <-changed:
		c.Error("a signal after the end")
	default:
	}
}
