package features_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cucumber/godog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	loadPause = 20 * time.Millisecond // between two requests of one client
	loadLimit = 15 * time.Minute      // an abandoned load ends; no scenario is that long
	loadSlow  = 5 * time.Second       // when a request counts as lost
)

// load is clients that ask a service without rest, and the responses.
type load struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	asked map[string]int // by client
	// By the answer's text: to connections that were made for it, and to those that were kept.
	fresh, kept map[string]int
	lost        []string
}

const keeping = ", one connection" // is in the name of a client that keeps its own

func (p *platform) registerLoad(sc *godog.ScenarioContext) {
	sc.Step(`^clients on the host, on node "([^"]+)" and in pod "([^"]+)" ask "([^"]+)" of service "([^"]+)" without rest$`, p.startLoad)
	sc.Step(`^each client has been answered (\d+) times more$`, p.awaitAnswers)
	sc.Step(`^no request was lost$`, p.endLoad)
	sc.Step(`^(\d+) to (\d+) of 100 answers to new connections are "([^"]*)"$`, p.share)
	sc.Step(`^from now on all answers (to new connections )?are "([^"]*)"$`, p.only)
	sc.After(func(ctx context.Context, _ *godog.Scenario, _ error) (context.Context, error) {
		if p.load != nil {
			p.load.stop()
			p.load.done.Wait()
		}
		return ctx, nil
	})
}

// startLoad has one client each: on the host with a new connection for each request and
// with one that it keeps, by service address and by each node's port; on a node and in a
// pod by service address. They begin when every node has the service: nodes observe a
// new pod one by one.
func (p *platform) startLoad(ctx context.Context, node, pod, path, name string) error {
	s, err := p.cluster.client.CoreV1().Services(p.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	port := s.Spec.Ports[0]
	address := func(host string, port int32) string {
		return "http://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + path
	}
	nodes, err := p.cluster.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	service := address(s.Spec.ClusterIP, port.Port)
	clients := map[string]string{"host": service}
	for i := range nodes.Items {
		for _, a := range nodes.Items[i].Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				clients["node port of "+nodes.Items[i].Name] = address(a.Address, port.NodePort)
			}
		}
	}
	first := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: loadSlow}
	for who, address := range clients {
		err := until(ctx, p.Patience, who+" to be answered by "+address, func() (string, bool, error) {
			text, err := ask(ctx, first, address)
			return text, err == nil, err
		})
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadLimit)
	l := &load{stop: cancel, asked: map[string]int{}, fresh: map[string]int{}, kept: map[string]int{}}
	p.load = l
	for who, address := range clients {
		l.client(ctx, who, address, false)
		l.client(ctx, who+keeping, address, true)
	}
	// As many as do not fit into the limit: what ends a client is the end of the load alone.
	count := int(loadLimit / loadPause)
	loop := fmt.Sprintf("for i in $(seq %d); do %%s %s || echo FAILED with status $?; echo; sleep %.2f; done", count, service, loadPause.Seconds())
	line := fmt.Sprintf(loop, "timeout 5 curl -s -S -f")
	err = l.program(ctx, p.command(p.cluster.program, "ssh", "--name", p.cluster.name, node, "--", line), "on "+node)
	if err != nil {
		return err
	}
	line = fmt.Sprintf(loop, "timeout 5 wget -q -O -")
	return l.program(ctx, p.command(p.cluster.program, "kubectl", "exec", pod, "--", "sh", "-c", line), "in "+pod)
}

func (p *platform) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = p.Dir, p.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (l *load) client(ctx context.Context, who, address string, keep bool) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: !keep}, Timeout: loadSlow}
	l.done.Go(func() {
		defer c.CloseIdleConnections()
		for sleepFor(ctx, loadPause) {
			text, err := ask(ctx, c, address)
			if err != nil && ctx.Err() != nil {
				return
			}
			l.note(who, text, err)
		}
	})
}

func ask(ctx context.Context, c *http.Client, address string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return strings.TrimSpace(string(body)), err
}

// program notes each line that a client in another place prints: an answer or a failure.
func (l *load) program(ctx context.Context, cmd *exec.Cmd, who string) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("client %s: %w", who, err)
	}
	end := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	l.done.Go(func() {
		defer end()
		lines := bufio.NewScanner(out)
		for last := ""; lines.Scan() && ctx.Err() == nil; {
			line := strings.TrimSpace(lines.Text())
			switch {
			case line == "":
			case strings.Contains(line, "FAILED"):
				l.note(who, "", fmt.Errorf("%s %s", last, line))
			case !strings.HasPrefix(line, "wget:") && !strings.HasPrefix(line, "curl:"):
				l.note(who, line, nil)
			}
			last = line
		}
		err := cmd.Wait()
		if ctx.Err() == nil {
			l.note(who, "", fmt.Errorf("the client has ended: %w", err))
		}
	})
	return nil
}

func sleepFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (l *load) note(who, text string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.lost = append(l.lost, fmt.Sprintf("%s %s: %v", time.Now().UTC().Format("15:04:05.000"), who, err))
		return
	}
	l.asked[who]++
	if strings.HasSuffix(who, keeping) {
		l.kept[text]++
	} else {
		l.fresh[text]++
	}
}

// awaitAnswers lets time pass by what happens in it.
func (p *platform) awaitAnswers(ctx context.Context, n int) error {
	l := p.load
	l.mu.Lock()
	before := map[string]int{}
	for who, asked := range l.asked {
		before[who] = asked
	}
	l.mu.Unlock()
	const clients = 4 // at least: two on the host, one on a node, one in a pod
	return until(ctx, p.Patience, fmt.Sprintf("%d more answers for each client", n), func() (string, bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		enough := len(l.asked) >= clients
		for who, asked := range l.asked {
			enough = enough && asked-before[who] >= n
		}
		return fmt.Sprintf("before %v, now %v, lost %v", before, l.asked, l.lost), enough, nil
	})
}

func (p *platform) endLoad(ctx context.Context) error {
	l := p.load
	l.stop()
	l.done.Wait()
	total := 0
	for _, n := range l.asked {
		total += n
	}
	if len(l.lost) > 0 {
		return fmt.Errorf("%d requests of %d were lost:\n%s", len(l.lost), total+len(l.lost), strings.Join(l.lost[:min(len(l.lost), 20)], "\n"))
	}
	godog.Logf(ctx, "%d requests of %d clients were answered: %v", total, len(l.asked), l.asked)
	return nil
}

// share counts 400 answers from now on.
func (p *platform) share(ctx context.Context, least, most int, text string) error {
	const count = 400
	before, all := p.load.counts(text, false)
	var hits, n int
	err := until(ctx, p.Patience, fmt.Sprintf("%d answers", count), func() (string, bool, error) {
		hits, n = p.load.counts(text, false)
		return fmt.Sprint(n - all), n-all >= count, nil
	})
	if err != nil {
		return err
	}
	if got := 100 * (hits - before) / (n - all); got < least || got > most {
		return fmt.Errorf("%d of 100 answers are %q: %v", got, text, p.load.fresh)
	}
	return nil
}

// counts is how many answers had the text, and how many there were.
func (l *load) counts(text string, andKept bool) (hits, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	add := func(answers map[string]int) {
		for t, n := range answers {
			all += n
			if strings.Contains(t, text) {
				hits += n
			}
		}
	}
	add(l.fresh)
	if andKept {
		add(l.kept)
	}
	return hits, all
}

// only wants that, soon, a long row of answers has nothing else.
func (p *platform) only(ctx context.Context, fresh, text string) error {
	const row = 300
	hits, all := p.load.counts(text, fresh == "")
	return until(ctx, p.Patience, fmt.Sprintf("%d answers in a row to be %q", row, text), func() (string, bool, error) {
		h, n := p.load.counts(text, fresh == "")
		seen := fmt.Sprintf("%d of %d", h-hits, n-all)
		if n-all != h-hits {
			hits, all = h, n
		}
		return seen, n-all >= row, nil
	})
}
