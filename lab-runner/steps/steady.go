package steps

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// steadyPause is the time between two requests of one sender. On a slow machine it is longer, as every wait is:
	// else the senders take the processors that the command needs.
	steadyPause = 20 * time.Millisecond
	// steadyAfter is how long requests are sent after the command, unless World.after is set:
	// pods that the command deleted are still terminating.
	steadyAfter = 2 * time.Second
	// steadyMinimum is the number of responses that the step requires. Where they take long it waits for them, for
	// World.Patience.
	steadyMinimum = 20
)

// steady sends requests to all of a service's addresses while a command runs: to the cluster
// IP with one kept connection and with a new connection for each request, and to the node port
// of each node. Every response must be 200, from when all addresses have responded once:
// endpoints propagate to each node separately.
func (w *World) steady(ctx context.Context, name, path, line string) error {
	addresses, err := w.steadyAddresses(ctx, name)
	if err != nil {
		return err
	}
	if err := w.awaitAnswers(ctx, name, path, addresses); err != nil {
		return err
	}
	sending, stop := context.WithCancel(ctx)
	defer stop()
	log := &requestLog{answers: map[string]int{}}
	var senders sync.WaitGroup
	for i, address := range addresses {
		senders.Add(1)
		// The first address is the cluster IP; it gets both kinds of requests.
		go func() {
			defer senders.Done()
			w.sendRequests(sending, log, "http://"+address+path, true)
		}()
		if i == 0 {
			senders.Add(1)
			go func() {
				defer senders.Done()
				w.sendRequests(sending, log, "http://"+address+path, false)
			}()
		}
	}
	out, status, err := w.command(ctx, line)
	after := w.after
	if after == 0 {
		after = w.Slow.Wait(steadyAfter)
	}
	select {
	case <-ctx.Done():
	case <-time.After(after):
	}
	w.awaitRequests(ctx, log)
	stop()
	senders.Wait()
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("`%s` ends with exit status %d:\n%s", line, status, out)
	}
	return log.err(fmt.Sprintf("every request for %s to service %s answered while `%s` runs", path, name, line), w.event(ctx, name))
}

// awaitRequests returns when there are responses enough to tell, or one is lost.
func (w *World) awaitRequests(ctx context.Context, log *requestLog) {
	deadline := time.Now().Add(w.Slow.Wait(w.Patience))
	for !log.decided() && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(steadyPause):
		}
	}
}

func (w *World) awaitAnswers(ctx context.Context, name, path string, addresses []string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, address := range addresses {
		err := w.eventually(ctx, condition{
			text: fmt.Sprintf("service %s answers %s on %s, before the command runs", name, path, address), about: name,
			try: "kubectl describe service " + name,
			probe: func(ctx context.Context) (string, bool, error) {
				body, err := sendRequest(ctx, client, "http://"+address+path)
				return body, err == nil, err
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// steadyAddresses returns the service's cluster IP, then its node port on each node if it has
// one.
func (w *World) steadyAddresses(ctx context.Context, name string) ([]string, error) {
	s, err := w.service(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(s.Spec.Ports) == 0 || net.ParseIP(s.Spec.ClusterIP) == nil {
		return nil, fmt.Errorf("service %s has no cluster IP", name)
	}
	out := []string{net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(s.Spec.Ports[0].Port)))}
	if s.Spec.Ports[0].NodePort == 0 {
		return out, nil
	}
	port, hosts, err := w.nodePort(ctx, name)
	for _, host := range hosts {
		out = append(out, net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	return out, err
}

// requestLog collects the results of the senders.
type requestLog struct {
	mu       sync.Mutex
	answered int
	answers  map[string]int // by body
	failures []string
	since    time.Time // of the first failure
}

func (w *World) sendRequests(ctx context.Context, log *requestLog, address string, newConnection bool) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: newConnection}, Timeout: w.Slow.Wait(5 * time.Second)}
	defer client.CloseIdleConnections()
	for {
		// A request in flight is not cancelled: it would count as lost.
		body, err := sendRequest(context.WithoutCancel(ctx), client, address)
		log.add(address, body, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.Slow.Wait(steadyPause)):
		}
	}
}

func sendRequest(ctx context.Context, client *http.Client, address string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	return strings.TrimSpace(string(body)), err
}

func (l *requestLog) add(address, body string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.answered++
		l.answers[body]++
		return
	}
	if len(l.failures) == 0 {
		l.since = time.Now()
	}
	l.failures = append(l.failures, fmt.Sprintf("%s %s: %v", time.Now().UTC().Format("15:04:05.000"), address, err))
}

// decided reports whether more requests cannot change what err returns for the better.
func (l *requestLog) decided() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failures) > 0 || l.answered >= steadyMinimum
}

// err returns a *Failure unless every request was answered.
func (l *requestLog) err(wanted, event string) error {
	if len(l.failures) == 0 && l.answered >= steadyMinimum {
		return nil
	}
	since := l.since
	if since.IsZero() {
		since = time.Now()
	}
	seen := []string{fmt.Sprintf("%d requests answered, %d not", l.answered, len(l.failures))}
	seen = append(seen, l.failures[:min(5, len(l.failures))]...)
	if len(l.answers) <= 5 {
		var kinds []string
		for body, n := range l.answers {
			kinds = append(kinds, fmt.Sprintf("%d times %s", n, body))
		}
		sort.Strings(kinds)
		seen = append(seen, kinds...)
	}
	return &Failure{
		Wanted: wanted, Seen: strings.Join(seen, "\n"), Since: since, Event: event,
		Try: "does the pod have a readiness probe, and does its program keep serving for a moment after SIGTERM?",
	}
}
