package features_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cucumber/godog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ingressLoad is clients that send requests through an Ingress without rest.
type ingressLoad struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	served atomic.Int64

	mu   sync.Mutex
	lost []string
}

func (p *platform) registerIngress(sc *godog.ScenarioContext) {
	var load *ingressLoad
	sc.Step(`^echo servers behind the services "([^"]+)"$`, p.echoServers)
	sc.Step(`^requests through ingress "([^"]+)" are answered:$`, p.ingressAnswers)
	sc.Step(`^(\d+) requests through ingress "([^"]+)" to "([^"]+)" are answered by (\d+) pods$`, p.ingressShares)
	sc.Step(`^clients send requests through ingress "([^"]+)" to "([^"]+)" without rest$`, func(ctx context.Context, ingress, url string) (err error) {
		load, err = p.startIngressLoad(ctx, ingress, url)
		return err
	})
	sc.Step(`^no request through the ingress was lost$`, func() error { return load.end() })
	sc.After(func(ctx context.Context, _ *godog.Scenario, _ error) (context.Context, error) {
		if load != nil {
			load.stop()
			load.done.Wait()
			load = nil
		}
		return ctx, nil
	})
}

// echo is what an echo server answers.
type echo struct{ Service, Pod, Host, Path, Method, Proto, Agent, Forwarded string }

// echoServers creates a Deployment that has a port for each of the services, and answers with what it was asked.
func (p *platform) echoServers(ctx context.Context, list string) error {
	var config, services, ports strings.Builder
	for i, name := range strings.Split(list, ", ") {
		port := 9000 + i
		fmt.Fprintf(&config, "    server { listen %d; location / { default_type application/json; return 200 '{\"service\":%q,\"pod\":\"$hostname\",\"host\":\"$http_host\",\"path\":\"$request_uri\",\"method\":\"$request_method\",\"proto\":\"$server_protocol\",\"agent\":\"$http_user_agent\",\"forwarded\":\"$http_x_forwarded_for\"}'; } }\n", port, name)
		fmt.Fprintf(&services, "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {selector: {app: echo}, ports: [{name: http, port: 8080, targetPort: %d}]}\n", name, port)
		fmt.Fprintf(&ports, "{containerPort: %d}, ", port)
	}
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: echo}\ndata:\n  echo.conf: |\n" + config.String() + services.String() + `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  strategy: {rollingUpdate: {maxSurge: 3, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        image: nginx:1.9.14
        ports: [` + strings.TrimSuffix(ports.String(), ", ") + `]
        readinessProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}
        volumeMounts: [{name: config, mountPath: /etc/nginx/conf.d}]
      volumes: [{name: config, configMap: {name: echo}}]
`
	return p.Run(ctx, "the objects:", manifest)
}

// ingressAddress waits for the address in an Ingress's status.
func (p *platform) ingressAddress(ctx context.Context, name string) (at string, err error) {
	err = until(ctx, p.Patience, "the address of ingress "+name, func() (string, bool, error) {
		in, err := p.cluster.client.NetworkingV1().Ingresses(p.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || len(in.Status.LoadBalancer.Ingress) == 0 {
			return "none", false, err
		}
		at = in.Status.LoadBalancer.Ingress[0].IP
		return at, true, nil
	})
	return at, err
}

// ingressClient returns a client that connects to an address whatever the URL's host is, and trusts the certificate
// foo.crt in the scenario's directory.
func (p *platform) ingressClient(address string, keepAlive bool) *http.Client {
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(filepath.Join(p.Dir, "foo.crt")); err == nil {
		roots.AppendCertsFromPEM(text)
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: !keepAlive, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(to)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address, port))
		},
	}}
}

// send sends a request, and returns the status and what the endpoint was asked.
func send(ctx context.Context, c *http.Client, method, url string) (int, echo, error) {
	host := strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")
	noHost := strings.HasPrefix(host, "/")
	if noHost { // the address itself is the host
		url = strings.Replace(url, ":///", "://192.0.2.1/", 1)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, echo{}, err
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, echo{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp.StatusCode, echo{}, err
	}
	var e echo
	if err := json.Unmarshal(text, &e); err != nil {
		return resp.StatusCode, e, fmt.Errorf("%s: %w", text, err)
	}
	if e.Method != method || e.Path != r.URL.RequestURI() || e.Host != r.URL.Host || e.Agent != "Go-http-client/1.1" && e.Agent != "Go-http-client/2.0" || e.Forwarded == "" {
		return resp.StatusCode, e, fmt.Errorf("the endpoint was asked %+v", e)
	}
	for _, header := range []string{"Content-Length", "Content-Type", "Date", "Server"} {
		if resp.Header.Get(header) == "" {
			return resp.StatusCode, e, fmt.Errorf("the response has no header %s", header)
		}
	}
	return resp.StatusCode, e, nil
}

// ingressAnswers sends the requests of a table until each is answered by the service, or has the status.
func (p *platform) ingressAnswers(ctx context.Context, ingress string, table *godog.Table) error {
	at, err := p.ingressAddress(ctx, ingress)
	if err != nil {
		return err
	}
	c := p.ingressClient(at, false)
	for _, row := range table.Rows[1:] {
		method, url, _ := strings.Cut(row.Cells[0].Value, " ")
		want := row.Cells[1].Value
		err := until(ctx, p.Patience, row.Cells[0].Value+" is answered by "+want, func() (string, bool, error) {
			status, e, err := send(ctx, c, method, url)
			got := e.Service
			if status != http.StatusOK {
				got = strconv.Itoa(status)
			}
			return got, got == want && err == nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ingressShares sends requests until n in a row are answered, by as many pods.
func (p *platform) ingressShares(ctx context.Context, n int, ingress, url string, pods int) error {
	at, err := p.ingressAddress(ctx, ingress)
	if err != nil {
		return err
	}
	c := p.ingressClient(at, true)
	return until(ctx, p.Patience, fmt.Sprintf("%d requests are answered by %d pods", n, pods), func() (string, bool, error) {
		by := map[string]int{}
		for range n {
			status, e, err := send(ctx, c, http.MethodGet, url)
			if err != nil || status != http.StatusOK {
				return strconv.Itoa(status), false, err
			}
			by[e.Pod]++
		}
		return fmt.Sprint(by), len(by) == pods, nil
	})
}

// startIngressLoad starts clients, with a connection that is kept and with new ones.
func (p *platform) startIngressLoad(ctx context.Context, ingress, url string) (*ingressLoad, error) {
	at, err := p.ingressAddress(ctx, ingress)
	if err != nil {
		return nil, err
	}
	l := &ingressLoad{}
	ctx, l.stop = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute) //nolint:gosec // the scenario's end calls stop
	for i := range 6 {
		c := p.ingressClient(at, i%2 == 0)
		method := []string{http.MethodGet, http.MethodPost, http.MethodGet}[i%3]
		l.done.Go(func() {
			for ctx.Err() == nil {
				status, _, err := send(ctx, c, method, url)
				if ctx.Err() != nil {
					return
				}
				if err == nil && status == http.StatusOK {
					l.served.Add(1)
				} else {
					l.mu.Lock()
					l.lost = append(l.lost, fmt.Sprintf("%s: status %d, %v", method, status, err))
					l.mu.Unlock()
				}
				select {
				case <-ctx.Done():
				case <-time.After(loadPause):
				}
			}
		})
	}
	return l, nil
}

func (l *ingressLoad) end() error {
	if l == nil {
		return errors.New("no client sends requests")
	}
	l.stop()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.served.Load(); n < 100 {
		return fmt.Errorf("%d requests were served: too few to say anything", n)
	}
	if len(l.lost) > 0 {
		return fmt.Errorf("%d of %d requests were lost, such as %s", len(l.lost), l.served.Load()+int64(len(l.lost)), l.lost[0])
	}
	return nil
}
