package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/kubelet/network"
)

// startedProcess is a process that Up waits for.
type startedProcess struct {
	running
	ended <-chan struct{} // nil if it was running before
	since time.Time       // when it was started, if it was not running before
}

func (w startedProcess) check() error {
	dead := w.state() == stateDead
	select {
	case <-w.ended:
		dead = true
	default:
	}
	if dead {
		return permanentError{fmt.Errorf("%s exited. The end of %s:\n%s", w.ID, w.Log, tail(w.Log, 12))}
	}
	if err := w.held(); err != nil {
		return permanentError{err}
	}
	return nil
}

// The time for one question to the server, or to its DNS, which is asked again.
const (
	readyTimeout = 10 * time.Second
	dnsFirst     = 300 * time.Millisecond // doubles, since an answer to a lost question never comes
	dnsMax       = 5 * time.Second
)

// waitServer waits until the API server is ready. Its kubeconfigs exist then.
func (u *up) waitServer(ctx context.Context, p running, ended <-chan struct{}) error {
	w := startedProcess{running: p, ended: ended}
	err := u.poll(ctx, func() error {
		if err := w.check(); err != nil {
			return err
		}
		kubeconfig := KubeconfigPath(u.cfg.Name, u.cfg.StateDir)
		if _, err := os.Stat(kubeconfig); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the server has not written %s yet (log: %s)", kubeconfig, p.Log)
		}
		return ready(ctx, kubeconfig)
	})
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (log: %s)", err, p.Log)
	}
	return err
}

func ready(ctx context.Context, kubeconfig string) error {
	rc, err := client.FromKubeconfig(kubeconfig)
	if err != nil {
		return err
	}
	rc.Timeout = readyTimeout
	c, err := rest.HTTPClientFor(rc)
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(rc.Host, "/")+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s: %s", resp.Status, body)
	}
	return nil
}

// mostAnswer bounds, in bytes, one answer of a cluster's API: its administrator may not be trusted. A node has a few kilobytes.
const mostAnswer = 2 << 20

func clientset(cfg Config) (*kubernetes.Clientset, error) {
	rc, err := client.FromKubeconfig(filepath.Join(cfg.dir(), "admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	Guard(rc, mostAnswer)
	return kubernetes.NewForConfig(rc)
}

// waitNodes waits until every node is Ready.
func (u *up) waitNodes(ctx context.Context, watch []startedProcess) (names []string, err error) {
	cs, err := clientset(u.cfg)
	if err != nil {
		return nil, err
	}
	for _, w := range watch {
		names = append(names, w.Node)
	}
	return names, u.poll(ctx, func() error {
		for _, w := range watch {
			if err := w.check(); err != nil {
				return err
			}
		}
		for _, w := range watch { // by name: the API may have any number of others
			node, err := cs.CoreV1().Nodes().Get(ctx, w.Node, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return fmt.Errorf("node %s has not registered (log: %s)", w.Node, w.Log)
			}
			if err != nil {
				return err
			}
			if err := w.nodeReady(node); err != nil {
				return fmt.Errorf("%w (log: %s)", err, w.Log)
			}
		}
		return nil
	})
}

// nodeReady returns nil if the process has reported its node Ready. The condition of a
// previous process does not count.
func (w startedProcess) nodeReady(n *v1.Node) error {
	for _, c := range n.Status.Conditions {
		// The API's times are whole seconds.
		if w.ended != nil && c.Type == v1.NodeReady && c.LastHeartbeatTime.Time.Before(w.since.Truncate(time.Second)) {
			return fmt.Errorf("node %s has not reported since it was started", n.Name)
		}
		if c.Type == v1.NodeReady && c.Status == v1.ConditionTrue {
			return nil
		} else if c.Type == v1.NodeReady {
			return fmt.Errorf("node %s is not Ready: %s: %s", n.Name, c.Reason, c.Message)
		}
	}
	return fmt.Errorf("node %s has no Ready condition", n.Name)
}

func deleteNode(ctx context.Context, cfg Config, name string) error {
	cs, err := clientset(cfg)
	if err != nil {
		return err
	}
	err = cs.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// waitDNS waits until server resolves the name of the kubernetes service over UDP, from within
// a namespace if one is given.
func (u *up) waitDNS(ctx context.Context, server netip.Addr, from string, want netip.Addr) error {
	limit := dnsFirst
	return u.poll(ctx, func() error {
		conn, err := dialUDP(from, netip.AddrPortFrom(server, 53).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		c := &dns.Client{Timeout: limit}
		limit = min(2*limit, dnsMax)
		question := new(dns.Msg).SetQuestion("kubernetes.default.svc.cluster.local.", dns.TypeA)
		resp, _, err := c.ExchangeWithConn(question, &dns.Conn{Conn: conn})
		if err != nil {
			return fmt.Errorf("querying %s: %w", server, err)
		}
		for _, rr := range resp.Answer {
			if a, ok := rr.(*dns.A); ok && a.A.Equal(want.AsSlice()) {
				return nil
			}
		}
		return fmt.Errorf("%s answers %s, not %s", server, dns.RcodeToString[resp.Rcode], want)
	})
}

func dialUDP(from, to string) (conn net.Conn, err error) {
	if from == "" {
		return net.Dial("udp4", to)
	}
	ns, err := netns.GetFromPath(filepath.Join(netnsDir, from))
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }()
	err = network.Do(ns, func() (err error) {
		conn, err = net.Dial("udp4", to)
		return err
	})
	return conn, err
}
