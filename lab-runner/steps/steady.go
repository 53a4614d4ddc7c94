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
	// steadyPause is between two requests of one caller.
	steadyPause = 20 * time.Millisecond
	// steadyAfter is how long the callers go on when the command has ended, unless the World
	// says otherwise: what it ended goes on ending.
	steadyAfter = 2 * time.Second
	// steadyLeast is how many answers make a proof.
	steadyLeast = 20
)

// steady sends requests to all of a service's addresses while a command runs: to the
// address inside of the cluster by a caller who keeps the connection and by one who makes
// a new one each time, and to the node port of each node. Every one must be answered 200,
// from the moment on when all have answered once: nodes learn of a new pod one by one.
func (w *World) steady(ctx context.Context, name, path, line string) error {
	addresses, err := w.steadyAddresses(ctx, name)
	if err != nil {
		return err
	}
	if err := w.steadyBegin(ctx, name, path, addresses); err != nil {
		return err
	}
	calling, stop := context.WithCancel(ctx)
	defer stop()
	log := &callLog{answers: map[string]int{}}
	var callers sync.WaitGroup
	for i, address := range addresses {
		callers.Add(1)
		// The first address is the cluster's own; it is called in both ways.
		go func() {
			defer callers.Done()
			call(calling, log, "http://"+address+path, true)
		}()
		if i == 0 {
			callers.Add(1)
			go func() {
				defer callers.Done()
				call(calling, log, "http://"+address+path, false)
			}()
		}
	}
	out, status, err := w.command(ctx, line)
	after := w.after
	if after == 0 {
		after = steadyAfter
	}
	select {
	case <-ctx.Done():
	case <-time.After(after):
	}
	stop()
	callers.Wait()
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("`%s` ends with exit status %d:\n%s", line, status, out)
	}
	return log.verdict(fmt.Sprintf("every request for %s to service %s answered while `%s` runs", path, name, line), w.event(ctx, name))
}

func (w *World) steadyBegin(ctx context.Context, name, path string, addresses []string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, address := range addresses {
		err := w.eventually(ctx, want{
			text: fmt.Sprintf("service %s answers %s on %s, before anything is done to it", name, path, address), about: name,
			try: "kubectl describe service " + name,
			probe: func(ctx context.Context) (string, bool, error) {
				body, err := callOnce(ctx, client, "http://"+address+path)
				return body, err == nil, err
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// steadyAddresses are the service's own first, then its node port on each node if it has
// one.
func (w *World) steadyAddresses(ctx context.Context, name string) ([]string, error) {
	s, err := w.service(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(s.Spec.Ports) == 0 || net.ParseIP(s.Spec.ClusterIP) == nil {
		return nil, fmt.Errorf("service %s has no address of its own to send to", name)
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

// callLog is what the callers have seen.
type callLog struct {
	mu       sync.Mutex
	answered int
	answers  map[string]int // how often each was given
	failures []string
	since    time.Time // of the first failure
}

func call(ctx context.Context, log *callLog, address string, anew bool) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: anew}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for {
		// A request that has begun is waited for: one that is cut off at the end of the
		// test would look like a lost one.
		body, err := callOnce(context.WithoutCancel(ctx), client, address)
		log.add(address, body, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(steadyPause):
		}
	}
}

func callOnce(ctx context.Context, client *http.Client, address string) (string, error) {
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

func (l *callLog) add(address, body string, err error) {
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

// verdict is nil if nothing was lost.
func (l *callLog) verdict(wanted, event string) error {
	if len(l.failures) == 0 && l.answered >= steadyLeast {
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
		Try: "does the pod have a readiness probe, and does its program go on serving for a moment after SIGTERM?",
	}
}
