package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// client sends each request on a new connection, so that a service chooses a pod for each.
func (w *World) client() *http.Client {
	if w.http == nil {
		w.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: w.Slow.Wait(5 * time.Second)}
	}
	return w.http
}

// get sends one request.
func (w *World) get(ctx context.Context, host string, port int32, path string) (status int, body string, err error) {
	address := "http://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + path
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	res, err := w.client().Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(text), err
}

func answer(address string, status int, body string) string {
	if len(body) > 200 {
		body = body[:200] + "..."
	}
	return fmt.Sprintf("%s: status %d: %s", address, status, body)
}

func (w *World) podAnswers(ctx context.Context, port int, name, path, text string, ok func(status int, body string) bool) error {
	return w.eventually(ctx, condition{
		text: fmt.Sprintf("port %d of pod %s answers %s with %s", port, name, path, text), about: name, object: "pods " + name,
		try: "kubectl get pod " + name + " -o wide; kubectl logs " + name,
		probe: func(ctx context.Context) (string, bool, error) {
			p, err := w.pod(ctx, name)
			if err != nil {
				return "", false, err
			}
			if p.Status.PodIP == "" {
				return podState(p) + ", without an address", false, nil
			}
			status, body, err := w.get(ctx, p.Status.PodIP, int32(port), path)
			return answer(p.Status.PodIP, status, body), ok(status, body), err
		},
	})
}

func (w *World) podStatus(ctx context.Context, port int, name, path string, status int) error {
	return w.podAnswers(ctx, port, name, path, fmt.Sprintf("status %d", status), func(s int, _ string) bool { return s == status })
}

func (w *World) podText(ctx context.Context, port int, name, path, text string) error {
	return w.podAnswers(ctx, port, name, path, strconv.Quote(text), func(s int, body string) bool {
		return s == http.StatusOK && strings.Contains(body, text)
	})
}

func (w *World) service(ctx context.Context, name string) (*corev1.Service, error) {
	var s corev1.Service
	err := w.Client.Get(ctx, "services", w.Namespace, name, &s)
	return &s, err
}

func (w *World) serviceText(ctx context.Context, port int, name, path, text string) error {
	return w.eventually(ctx, condition{
		text: fmt.Sprintf("port %d of service %s answers %s with %q", port, name, path, text), about: name, object: "services " + name,
		try: "kubectl describe service " + name,
		probe: func(ctx context.Context) (string, bool, error) {
			s, err := w.service(ctx, name)
			if err != nil {
				return "", false, err
			}
			status, body, err := w.get(ctx, s.Spec.ClusterIP, int32(port), path)
			return answer(s.Spec.ClusterIP, status, body), status == http.StatusOK && strings.Contains(body, text), err
		},
	})
}

// nodePort returns the service's first node port and the addresses of the ready nodes.
func (w *World) nodePort(ctx context.Context, name string) (port int32, hosts []string, err error) {
	s, err := w.service(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	if len(s.Spec.Ports) == 0 || s.Spec.Ports[0].NodePort == 0 {
		return 0, nil, fmt.Errorf("service %s is of type %s and has no node port", name, s.Spec.Type)
	}
	var list corev1.NodeList
	if err := w.Client.List(ctx, "nodes", "", metav1.ListOptions{}, &list); err != nil {
		return 0, nil, err
	}
	for i := range list.Items {
		if !nodeReady(&list.Items[i]) {
			continue
		}
		for _, a := range list.Items[i].Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				hosts = append(hosts, a.Address)
			}
		}
	}
	if len(hosts) == 0 {
		return 0, nil, fmt.Errorf("no node is ready")
	}
	return s.Spec.Ports[0].NodePort, hosts, nil
}

func (w *World) nodePortText(ctx context.Context, name, path, text string) error {
	return w.eventually(ctx, condition{
		text: fmt.Sprintf("the node port of service %s answers %s with %q on every node", name, path, text), about: name, object: "services " + name,
		try: "kubectl describe service " + name + "; kubectl get nodes -o wide",
		probe: func(ctx context.Context) (string, bool, error) {
			port, hosts, err := w.nodePort(ctx, name)
			if err != nil {
				return "", false, err
			}
			for _, host := range hosts {
				status, body, err := w.get(ctx, host, port, path)
				if err != nil || status != http.StatusOK || !strings.Contains(body, text) {
					return answer(host, status, body), false, err
				}
			}
			return "all nodes answer", true, nil
		},
	})
}

// nodePortSpread sends requests until responses have contained the address of each pod.
func (w *World) nodePortSpread(ctx context.Context, n int, label, path, name string) error {
	answered := map[string]bool{}
	return w.eventually(ctx, condition{
		text: fmt.Sprintf("answers of %d different pods to %s through the node port of service %s", n, path, name), about: name, object: "services " + name,
		try: "kubectl describe service " + name + "; kubectl get pods -o wide -l " + label,
		probe: func(ctx context.Context) (string, bool, error) {
			pods, err := w.pods(ctx, label)
			if err != nil {
				return "", false, err
			}
			port, hosts, err := w.nodePort(ctx, name)
			if err != nil {
				return "", false, err
			}
			for _, host := range hosts {
				_, body, err := w.get(ctx, host, port, path)
				if err != nil {
					return "", false, err
				}
				for i := range pods {
					// With the prefix's length, so that .1 is not found in .14.
					if ip := pods[i].Status.PodIP; ip != "" && (strings.Contains(body, ip+"/") || strings.Contains(body, ip+"<")) {
						answered[pods[i].Name] = true
					}
				}
			}
			var names []string
			for pod := range answered {
				names = append(names, pod)
			}
			sort.Strings(names)
			return fmt.Sprintf("%d pods have answered: %s", len(names), strings.Join(names, ", ")), len(names) == n && len(pods) == n, nil
		},
	})
}

func (w *World) nodePortRange(ctx context.Context, name string, low, high int) error {
	return w.eventually(ctx, condition{
		text: fmt.Sprintf("a node port of service %s between %d and %d", name, low, high), about: name, object: "services " + name, try: "kubectl describe service " + name,
		probe: func(ctx context.Context) (string, bool, error) {
			port, _, err := w.nodePort(ctx, name)
			return fmt.Sprintf("node port %d", port), int(port) >= low && int(port) <= high, err
		},
	})
}

// endpointAddresses returns none for a service without an Endpoints object.
func (w *World) endpointAddresses(ctx context.Context, name string) ([]string, error) {
	var e corev1.Endpoints
	err := w.Client.Get(ctx, "endpoints", w.Namespace, name, &e)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, subset := range e.Subsets {
		for _, a := range subset.Addresses {
			out = append(out, a.IP)
		}
	}
	sort.Strings(out)
	return out, nil
}

func (w *World) endpointsMatch(ctx context.Context, name string, n int, label string) error {
	return w.eventually(ctx, condition{
		text: fmt.Sprintf("the endpoints of service %s are the %d ready pods with label %s", name, n, label), about: name, object: "services " + name,
		try: "kubectl describe service " + name + "; kubectl get pods -o wide -l " + label,
		probe: func(ctx context.Context) (string, bool, error) {
			got, err := w.endpointAddresses(ctx, name)
			if err != nil {
				return "", false, err
			}
			pods, err := w.pods(ctx, label)
			if err != nil {
				return "", false, err
			}
			var wanted []string
			for i := range pods {
				if ready(&pods[i]) {
					wanted = append(wanted, pods[i].Status.PodIP)
				}
			}
			sort.Strings(wanted)
			same := strings.Join(got, " ") == strings.Join(wanted, " ")
			if same {
				return fmt.Sprintf("%d ready pods, not %d; endpoints %v", len(got), n, got), len(got) == n, nil
			}
			return fmt.Sprintf("endpoints %v, ready pods %v", got, wanted), false, nil
		},
	})
}

func (w *World) noEndpoints(ctx context.Context, name string) error {
	return w.eventually(ctx, condition{
		text: "service " + name + " without endpoints", about: name, object: "services " + name, try: "kubectl describe service " + name,
		probe: func(ctx context.Context) (string, bool, error) {
			if _, err := w.service(ctx, name); err != nil {
				return "", false, err
			}
			got, err := w.endpointAddresses(ctx, name)
			return fmt.Sprintf("endpoints %v", got), err == nil && len(got) == 0, err
		},
	})
}

// influx compares the last number of the response to a query.
func (w *World) influx(ctx context.Context, name, query string, number int) error {
	path := "/query?db=kubernetes&q=" + url.QueryEscape(query)
	return w.podAnswers(ctx, 8086, name, path, strconv.Itoa(number), func(_ int, body string) bool {
		var a struct {
			Results []struct {
				Series []struct {
					Values [][]any `json:"values"`
				} `json:"series"`
			} `json:"results"`
		}
		if json.Unmarshal([]byte(body), &a) != nil || len(a.Results) != 1 || len(a.Results[0].Series) != 1 || len(a.Results[0].Series[0].Values) != 1 {
			return false
		}
		row := a.Results[0].Series[0].Values[0]
		return len(row) > 0 && row[len(row)-1] == float64(number)
	})
}
