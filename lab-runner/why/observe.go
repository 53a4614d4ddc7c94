package why

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/remotecommand"

	"wheelhouse/lab-runner/objects"
)

// How long a connection, a request through the proxy, and a command in a container may take.
const (
	dialTime  = 2 * time.Second
	proxyTime = 3 * time.Second
	execTime  = 5 * time.Second
)

// ofPod are the readings for a pod on the way: its last log lines, keys of ConfigMaps, what the nodes' pods request, what it
// listens on where a probe or a port is in question.
func (d *deepening) ofPod(p *corev1.Pod) []reading {
	var out []reading
	inits, mains := containersOf(p)
	probing := false
	for _, ct := range append(inits, mains...) {
		if ct.status == nil {
			continue
		}
		probing = probing || ct.status.State.Running != nil && !ct.status.Ready || ct.killedByProbe(&chain{f: d.f})
		if last := ct.last(); (last != nil || ct.init && ct.status.State.Running != nil) && d.once("log "+p.Name+"/"+ct.spec.Name) {
			out = append(out, d.log(p, &ct))
		}
	}
	if probing && d.once("sockets "+p.Name) {
		out = append(out, d.sockets(p))
	}
	if message := condition(p, corev1.PodScheduled).Message; p.Spec.NodeName == "" && (strings.Contains(message, "Insufficient") || strings.Contains(message, "Too many pods")) && d.once("requested") {
		out = append(out, d.requested())
	}
	for _, s := range append(mounted(p), environment(p)...) {
		if s.kind == "ConfigMap" && s.key != "" && !isReady(p) && d.once("keys "+s.name) {
			out = append(out, d.keys(s.name))
		}
	}
	return out
}

func environment(p *corev1.Pod) []source {
	var out []source
	for i := range p.Spec.InitContainers {
		out = append(out, variables(&p.Spec.InitContainers[i])...)
	}
	for i := range p.Spec.Containers {
		out = append(out, variables(&p.Spec.Containers[i])...)
	}
	return out
}

func (d *deepening) podPath(p *corev1.Pod) string {
	return listPath("", p.Namespace, "pods") + "/" + p.Name
}

// log reads the last lines of a container, of its previous run if it waits or has just been started again.
func (d *deepening) log(p *corev1.Pod, ct *container) reading {
	query := url.Values{"container": {ct.spec.Name}, "tailLines": {"10"}, "limitBytes": {"8192"}}
	if previous(ct) != "" {
		query.Set("previous", "true")
	}
	return reading{"logs", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, d.limit(mostTime))
		defer cancel()
		text, err := d.client.Read(ctx, d.podPath(p)+"/log", query, "*/*", 1<<16)
		if err != nil {
			if apierrors.IsForbidden(err) {
				return err
			}
			return nil //nolint:nilerr // the log of a container that was never started is none
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.f.Logs == nil {
			d.f.Logs = map[string]string{}
		}
		d.f.Logs[p.Name+"/"+ct.spec.Name] = string(text)
		return nil
	}}
}

func (d *deepening) keys(name string) reading {
	return reading{"configmaps", func(ctx context.Context) error {
		var m struct {
			Data       map[string]json.RawMessage `json:"data"`
			BinaryData map[string]json.RawMessage `json:"binaryData"`
		}
		if err := d.read(ctx, listPath("", d.f.Namespace, "configmaps")+"/"+name, nil, "", &m); err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.f.Keys == nil {
			d.f.Keys = map[string][]string{}
		}
		all := slices.AppendSeq(slices.Collect(keysOf(m.Data)), keysOf(m.BinaryData))
		slices.Sort(all)
		d.f.Keys["ConfigMap "+name] = all
		return nil
	}}
}

// requested adds up what the pods of each node request.
func (d *deepening) requested() reading {
	return reading{"pods of other namespaces", func(ctx context.Context) error {
		var p page[corev1.Pod]
		if err := d.read(ctx, "/api/v1/pods", url.Values{"limit": {"2000"}, "fieldSelector": {"status.phase!=Succeeded,status.phase!=Failed"}}, "", &p); err != nil {
			return err
		}
		sums := map[string]corev1.ResourceList{}
		for i := range p.Items {
			node := p.Items[i].Spec.NodeName
			if node == "" {
				continue
			}
			if sums[node] == nil {
				sums[node] = corev1.ResourceList{}
			}
			for name, q := range requests(&p.Items[i]) {
				have := sums[node][name]
				have.Add(q)
				sums[node][name] = have
			}
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.f.Requested = sums
		return nil
	}}
}

// ofService are the readings for a Service on the way: sockets and answers of two of its ready pods, its own answers, and its
// NodePorts.
func (d *deepening) ofService(s *corev1.Service) []reading {
	var out []reading
	looked := 0
	for _, p := range d.f.podsWith(s.Spec.Selector) {
		if !isReady(p) || looked >= 2 {
			continue
		}
		looked++
		if d.once("sockets " + p.Name) {
			out = append(out, d.sockets(p))
		}
	}
	if looked == 0 && len(s.Spec.Selector) > 0 || s.Spec.Type == corev1.ServiceTypeExternalName {
		return out
	}
	for _, port := range s.Spec.Ports {
		if port.Protocol != corev1.ProtocolTCP {
			continue
		}
		key := fmt.Sprintf("service %s %d", s.Name, port.Port)
		if d.once(key) {
			out = append(out, d.answer(key, fmt.Sprintf("%s/%s:%d/proxy/", listPath("", s.Namespace, "services"), s.Name, port.Port)))
		}
		for i := range d.f.Nodes {
			if port.NodePort != 0 && i < 10 && d.once(fmt.Sprintf("%s %d", d.f.Nodes[i].Name, port.NodePort)) {
				out = append(out, d.nodePort(&d.f.Nodes[i], port.NodePort))
			}
		}
	}
	return out
}

const socketsCommand = "/proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6"

// sockets reads what a pod listens on, by cat in one of its containers, which share their network. An image without cat is
// asked through the API server's proxy instead, at the ports that are in question.
func (d *deepening) sockets(p *corev1.Pod) reading {
	return reading{"sockets", func(ctx context.Context) error {
		for _, ct := range p.Status.ContainerStatuses {
			if ct.State.Running == nil {
				continue
			}
			text, err := d.exec(ctx, p, ct.Name)
			if err != nil || !strings.Contains(text, "local_address") {
				continue
			}
			d.mu.Lock()
			if d.f.Listening == nil {
				d.f.Listening = map[string][]Socket{}
			}
			d.f.Listening[p.Name] = parseSockets(text)
			d.mu.Unlock()
			return nil
		}
		for _, port := range d.questioned(p) {
			key := fmt.Sprintf("pod %s %d", p.Name, port)
			_ = d.answer(key, fmt.Sprintf("%s:%d/proxy/", d.podPath(p), port)).do(ctx)
		}
		return nil
	}}
}

// questioned are the ports of a pod that its manifest, its probes and the Services that select it name: at most 8.
func (d *deepening) questioned(p *corev1.Pod) []int32 {
	var out []int32
	add := func(n int32) {
		if n != 0 && !slices.Contains(out, n) && len(out) < 8 {
			out = append(out, n)
		}
	}
	for i := range d.f.Services {
		if s := &d.f.Services[i]; len(s.Spec.Selector) > 0 && hasAll(p.Labels, s.Spec.Selector) {
			for _, port := range s.Spec.Ports {
				n, _ := targetOf(port, p)
				add(n)
			}
		}
	}
	_, mains := containersOf(p)
	for _, ct := range mains {
		for _, port := range ct.spec.Ports {
			add(port.ContainerPort)
		}
		for _, probe := range []*corev1.Probe{ct.spec.ReadinessProbe, ct.spec.LivenessProbe, ct.spec.StartupProbe} {
			if probe != nil {
				n, _ := probePort(&ct, probe)
				add(n)
			}
		}
	}
	return out
}

// bounded keeps the first bytes of what is written.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, io.ErrShortBuffer
	}
	return b.Buffer.Write(p)
}

// exec returns the output of cat in a container.
func (d *deepening) exec(ctx context.Context, p *corev1.Pod, container string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit(execTime))
	defer cancel()
	query := url.Values{"container": {container}, "stdout": {"true"}, "stderr": {"true"}, "command": append([]string{"cat"}, strings.Fields(socketsCommand)...)}
	at := d.client.URL(d.podPath(p)+"/exec", query)
	e, err := remotecommand.NewWebSocketExecutor(d.config, "GET", at.String())
	if err != nil {
		return "", err
	}
	out := &bounded{most: 1 << 20}
	err = e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: out, Stderr: io.Discard})
	if out.Len() > 0 {
		return out.String(), nil // cat fails on a file that there is not, such as tcp6
	}
	return "", err
}

// parseSockets reads what /proc/net has of TCP sockets that listen and UDP sockets that are not connected.
func parseSockets(text string) []Socket {
	var out []Socket
	udp := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 1 && f[1] == "local_address" {
			udp = strings.Contains(line, "drops")
			continue
		}
		if len(f) < 4 {
			continue
		}
		addr, port, ok := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil || !udp && f[3] != "0A" || udp && f[3] != "07" {
			continue
		}
		s := Socket{Protocol: "TCP", Port: int32(n), Loopback: addr == "0100007F" || addr == "00000000000000000000000001000000"}
		if udp {
			s.Protocol = "UDP"
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// answer asks a path of the API server's proxy. What took the connection is an answer, whatever it said; no answer within
// the time, or no right to ask, is none.
func (d *deepening) answer(key, path string) reading {
	return reading{"answers", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, d.limit(proxyTime))
		defer cancel()
		_, err := d.client.Read(ctx, path, nil, "*/*", 1<<16)
		a, known := judge(err)
		if !known {
			return nil
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.f.Answers == nil {
			d.f.Answers = map[string]Answer{}
		}
		d.f.Answers[key] = a
		return nil
	}}
}

// judge distinguishes what a port answered from what the API server said. The API server says "error trying to reach service" of what
// it could not reach; a program behind may answer with the same status.
func judge(err error) (a Answer, known bool) {
	text := fmt.Sprint(err)
	status := apierrors.APIStatus(nil)
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			text += " " + cause.Message
		}
	}
	lower := strings.ToLower(text)
	unreached := strings.Contains(lower, "error trying to reach")
	switch {
	case err == nil || errors.Is(err, objects.ErrTooLarge):
		return Answer{OK: true, Text: "status 200"}, true
	case unreached && (strings.Contains(lower, "connection refused") || strings.Contains(lower, "no route to host")), strings.Contains(lower, "no endpoints available"):
		return Answer{Text: text}, true
	case unreached && (strings.Contains(lower, "malformed http") || strings.Contains(lower, "connection reset") || strings.HasSuffix(lower, "eof")):
		return Answer{OK: true, Text: "accepted; it does not speak HTTP"}, true
	case unreached, strings.Contains(text, "/proxy\""):
		return Answer{}, false
	case status != nil && status.Status().Code != 0 && status.Status().Code != http.StatusGatewayTimeout:
		return Answer{OK: true, Text: fmt.Sprintf("status %d", status.Status().Code)}, true
	}
	return Answer{}, false
}

func (d *deepening) nodePort(n *corev1.Node, port int32) reading {
	return reading{"node ports", func(ctx context.Context) error {
		address := ""
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && address == "" {
				address = a.Address
			}
		}
		if address == "" {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, d.limit(dialTime))
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
		a := Answer{OK: err == nil, Text: fmt.Sprint(err)}
		if err == nil {
			conn.Close()
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.f.NodePorts == nil {
			d.f.NodePorts = map[string]Answer{}
		}
		d.f.NodePorts[fmt.Sprintf("%s %d", n.Name, port)] = a
		return nil
	}}
}
