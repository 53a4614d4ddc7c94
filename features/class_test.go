package features_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cucumber/godog"
	"github.com/gorilla/websocket"
	"k8s.io/client-go/tools/clientcmd"
)

// classroom is a class that is served for a scenario.
type classroom struct {
	args       []string
	cmd        *exec.Cmd
	ended      chan struct{}
	log        bytes.Buffer
	said       map[string]string // what it has printed, by the label of the line
	roots      *tls.Config       // that trusts the cluster's authority alone
	learners   map[string]*classLearner
	instructor *http.Client
}

// classLearner is the browser of a learner.
type classLearner struct {
	id     string
	client *http.Client
	joined time.Time // when they asked to
	mu     sync.Mutex
	conn   *websocket.Conn
	shown  []byte        // by the terminal
	grown  chan struct{} // has an element after shown has grown; nil: nobody waits
}

func (p *platform) registerClass(sc *godog.ScenarioContext) {
	sc.Step(`^a class is served that offers lab "([^"]+)"$`, p.serveClass)
	sc.Step(`^"([^"]+)" joins the class$`, p.joinClass)
	sc.Step("^in the terminal of \"([^\"]+)\" `([^`]+)` prints \"([^\"]+)\"$", p.inTerminal)
	sc.Step(`^"([^"]+)" starts lab "([^"]+)"$`, p.startLab)
	sc.Step(`^the board shows "([^"]+)" with (\d+) checks? done of (\d+)$`, p.boardShows)
	sc.Step(`^the process of the class is killed, and the class is served again$`, p.killClass)
	sc.Step(`^"([^"]+)" and "([^"]+)" are still in the class$`, p.stillInClass)
	sc.Step(`^joining with (?:code "([^"]+)"|the code of the room) is refused with status (\d+), (\d+) times?$`, p.joinRefused)
	sc.After(func(ctx context.Context, _ *godog.Scenario, err error) (context.Context, error) {
		return ctx, p.endClass(context.WithoutCancel(ctx), err != nil)
	})
}

func (p *platform) serveClass(ctx context.Context, lab string) error {
	if err := p.prepareClass(lab, 2); err != nil {
		return err
	}
	return p.class.start(ctx, p)
}

// prepareClass sets the class up that start serves.
func (p *platform) prepareClass(lab string, learners int) error {
	config, err := clientcmd.BuildConfigFromFlags("", p.cluster.kubeconfig)
	if err != nil {
		return err
	}
	ca := config.CAData
	if len(ca) == 0 {
		if ca, err = os.ReadFile(config.CAFile); err != nil {
			return err
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return errors.New("the cluster's authority is no certificate")
	}
	p.class = &classroom{
		args:  []string{"classroom", "serve", "--name", p.cluster.name, "--listen", "127.0.0.1:0", "--host", "127.0.0.1", "--labs", lab, "--learners", strconv.Itoa(learners)},
		roots: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, learners: map[string]*classLearner{},
	}
	return nil
}

// start starts the process, and logs the instructor in.
func (k *classroom) start(ctx context.Context, p *platform) error {
	k.cmd = exec.Command(p.cluster.program, k.args...)
	k.cmd.Dir, k.cmd.Env, k.cmd.Stderr = "..", os.Environ(), &k.log
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := k.cmd.Start(); err != nil {
		return err
	}
	k.said, k.ended = map[string]string{}, make(chan struct{})
	printed := make(chan struct{})
	go func() {
		defer close(k.ended)
		once := sync.OnceFunc(func() { close(printed) })
		defer once()
		lines := bufio.NewScanner(out)
		said := map[string]string{}
		for lines.Scan() {
			if label, value, ok := strings.Cut(lines.Text(), ": "); ok && said != nil {
				said[label] = strings.TrimSpace(value)
				if label == "authority" { // the last one
					k.said, said = said, nil
					once()
				}
			}
		}
		_ = k.cmd.Wait() // it is killed, or what it has logged says more
	}()
	select {
	case <-printed:
	case <-time.After(p.Patience):
	}
	if k.said["learners"] == "" {
		return fmt.Errorf("the class has printed no address; its log: %s", &k.log)
	}
	k.instructor = k.browser()
	password, _, _ := strings.Cut(k.said["password"], " ")
	return k.post(ctx, k.instructor, "api/instructor/login", map[string]string{"password": password}, nil)
}

func (k *classroom) browser() *http.Client {
	jar, _ := cookiejar.New(nil) // without options there is no error
	return &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: k.roots.Clone()}, Timeout: time.Minute}
}

func (k *classroom) url(path string) string { return k.said["learners"] + path }

// statusError is an answer that is not a success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.text) }

func (k *classroom) send(ctx context.Context, c *http.Client, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, k.url(path), bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header.Set("Origin", strings.TrimSuffix(k.said["learners"], "/"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Wheelhouse", "1")
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return &statusError{res.StatusCode, string(text)}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

func (k *classroom) post(ctx context.Context, c *http.Client, path string, body, into any) error {
	if err := k.send(ctx, c, http.MethodPost, path, body, into); err != nil {
		return fmt.Errorf("POST %s: %w", path, err)
	}
	return nil
}

func (p *platform) joinClass(ctx context.Context, name string) error {
	l := &classLearner{client: p.class.browser()}
	var joined struct{ ID string }
	l.joined = time.Now()
	if err := p.class.post(ctx, l.client, "api/join", map[string]string{"code": p.class.said["room code"], "name": name}, &joined); err != nil {
		return err
	}
	l.id = joined.ID
	p.class.learners[name] = l
	return nil
}

// connect opens the learner's terminal, and returns when the shell has drawn something.
func (k *classroom) connect(ctx context.Context, l *classLearner, patience time.Duration) error {
	l.mu.Lock()
	open := l.conn != nil
	l.mu.Unlock()
	if open {
		return nil
	}
	d := websocket.Dialer{TLSClientConfig: k.roots.Clone(), Jar: l.client.Jar}
	h := http.Header{"Origin": {strings.TrimSuffix(k.said["learners"], "/")}}
	h.Set("Sec-WebSocket-Protocol", "wheelhouse.terminal")
	return until(ctx, patience, "the shell to draw something", func() (string, bool, error) {
		conn, res, err := d.DialContext(ctx, "wss"+strings.TrimPrefix(k.url("api/terminal?columns=200&rows=50"), "https"), h)
		if err != nil {
			if res != nil {
				return res.Status, false, err
			}
			return "", false, err
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, frame, err := conn.ReadMessage()
		for err == nil && frame[0] != 'd' {
			_, frame, err = conn.ReadMessage()
		}
		if err == nil {
			err = conn.SetReadDeadline(time.Time{})
		}
		if err != nil {
			_ = conn.Close()
			return string(frame), false, fmt.Errorf("the terminal is open and shows nothing: %w", err)
		}
		l.mu.Lock()
		l.conn = conn
		l.mu.Unlock()
		go l.read(conn)
		return "", true, nil
	})
}

// read keeps what the terminal shows.
func (l *classLearner) read(conn *websocket.Conn) {
	for {
		_, frame, err := conn.ReadMessage()
		l.mu.Lock()
		if err != nil {
			l.conn = nil
			l.mu.Unlock()
			select {
			case l.grown <- struct{}{}: // nothing comes any more
			default:
			}
			_ = conn.Close()
			return
		}
		if frame[0] == 'd' {
			l.shown = append(l.shown, frame[1:]...)
			select {
			case l.grown <- struct{}{}:
			default:
			}
		}
		l.mu.Unlock()
	}
}

func (p *platform) inTerminal(ctx context.Context, name, line, text string) error {
	l := p.class.learners[name]
	if l == nil {
		return fmt.Errorf("%s has not joined", name)
	}
	for other, o := range p.class.learners {
		line = strings.ReplaceAll(line, "$"+other, o.id)
	}
	if err := p.class.connect(ctx, l, p.Patience); err != nil {
		return err
	}
	l.mu.Lock()
	conn, before := l.conn, len(l.shown)
	l.mu.Unlock()
	if conn == nil {
		return errors.New("the terminal was closed")
	}
	if err := conn.WriteMessage(websocket.BinaryMessage, []byte("d"+line+"\r")); err != nil {
		return err
	}
	return until(ctx, p.Patience, fmt.Sprintf("%q in the terminal of %s", text, name), func() (string, bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		shown := string(l.shown[min(before, len(l.shown)):])
		return fmt.Sprintf("%q", shown), strings.Contains(shown, text), nil
	})
}

func (p *platform) startLab(ctx context.Context, name, lab string) error {
	return p.class.post(ctx, p.class.learners[name].client, "api/desk", map[string]string{"do": "start", "lab": lab}, nil)
}

func (p *platform) boardShows(ctx context.Context, name string, done, all int) error {
	return until(ctx, p.Patience, fmt.Sprintf("%s with %d of %d checks done on the board", name, done, all), func() (string, bool, error) {
		var board struct {
			Learners []struct {
				Name, Lab string
				Checks    struct{ Done, Todo, Lost int }
			}
		}
		if err := p.class.send(ctx, p.class.instructor, http.MethodGet, "api/board", nil, &board); err != nil {
			return "", false, err
		}
		for _, l := range board.Learners {
			if l.Name == name {
				return fmt.Sprintf("%+v", l), l.Lab != "" && l.Checks.Done == done && l.Checks.Done+l.Checks.Todo+l.Checks.Lost == all, nil
			}
		}
		return "no row", false, nil
	})
}

func (p *platform) killClass(ctx context.Context) error {
	if err := p.class.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.class.ended
	code := p.class.said["room code"]
	if err := p.class.start(ctx, p); err != nil {
		return err
	}
	if now := p.class.said["room code"]; now != code {
		return fmt.Errorf("the room's code was %s and is %s", code, now)
	}
	return nil
}

func (p *platform) stillInClass(ctx context.Context, one, other string) error {
	for _, name := range []string{one, other} {
		var me struct{ Name string }
		if err := p.class.send(ctx, p.class.learners[name].client, http.MethodGet, "api/me", nil, &me); err != nil || me.Name != name {
			return fmt.Errorf("%s is %q: %w", name, me.Name, err)
		}
	}
	return nil
}

func (p *platform) joinRefused(ctx context.Context, code string, status, times int) error {
	if code == "" {
		code = p.class.said["room code"]
	}
	for i := range times {
		err := p.class.post(ctx, p.class.browser(), "api/join", map[string]string{"code": code, "name": fmt.Sprint("stranger ", i)}, nil)
		var refused *statusError
		if !errors.As(err, &refused) || refused.status != status {
			return fmt.Errorf("attempt %d: %w, want status %d", i+1, err, status)
		}
	}
	return nil
}

// endClass ends the process, and removes what the class has in the cluster.
func (p *platform) endClass(ctx context.Context, failed bool) error {
	if p.class == nil {
		return nil
	}
	_ = p.class.cmd.Process.Signal(os.Interrupt) // it may have ended
	select {
	case <-p.class.ended:
	case <-time.After(20 * time.Second):
		_ = p.class.cmd.Process.Kill()
		<-p.class.ended
	}
	log := p.class.log.String()
	p.class = nil
	if failed {
		fmt.Println("the log of the class:", log)
	}
	if out, err := p.cluster.run(ctx, "classroom", "forget"); err != nil {
		return fmt.Errorf("removing the class: %w: %s", err, out)
	}
	_, err := p.shell(ctx, "kubectl delete namespace wheelhouse-class wheelhouse-workbenches --ignore-not-found --timeout=60s")
	return err
}
