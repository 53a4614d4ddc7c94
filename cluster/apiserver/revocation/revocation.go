// Package revocation has the list of certificates that are revoked before they expire, such as
// those of a stolen machine. The list is a ConfigMap that only users who may write configmaps
// of kube-system change; each API server follows it by watch. An entry has a node and the time
// up to which its certificates are revoked, so that the node may join again, or the serial
// number of a certificate.
//
// Until the list has been read once, Revoked waits. An entry that is removed is in force no longer; a ConfigMap that is
// deleted takes none back: what it had stays in force until the server ends, whatever is written later, and it is logged.
// The package never writes.
package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/pki"
)

// Where the list is, and what its keys begin with. The value of a node's key is a time
// (RFC 3339), that of a serial number's key (hexadecimal) is for people.
const (
	Namespace    = metav1.NamespaceSystem
	Name         = "revoked-certificates"
	NodePrefix   = "node."
	SerialPrefix = "serial."
)

var configMaps = schema.GroupResource{Resource: "configmaps"}

// Objects reads the cluster's state; authz.FromStore returns one.
type Objects interface {
	List(ctx context.Context, r schema.GroupResource, namespace string, fresh bool) ([]api.Object, int64, error)
	Watch(ctx context.Context, r schema.GroupResource, revision int64) (<-chan authz.Change, error)
}

// Config is what a List needs.
type Config struct {
	Objects Objects
	Changed func() // is called after each change of the list; may be nil
	Log     *slog.Logger
}

// List is the list as it was last read.
type List struct {
	Config
	current atomic.Pointer[entries]
	ready   chan struct{}
	deleted *entries // what was in force when the ConfigMap was deleted, for Run alone
}

type entries struct {
	nodes   map[string]time.Time
	serials map[string]bool
}

// New returns a List.
func New(c Config) (*List, error) {
	if c.Objects == nil {
		return nil, errors.New("revocation: Objects is required")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &List{Config: c, ready: make(chan struct{})}, nil
}

// Run follows the list until ctx ends.
func (l *List) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := l.listAndWatch(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("following the revoked certificates", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

func (l *List) listAndWatch(ctx context.Context) error {
	all, revision, err := l.Objects.List(ctx, configMaps, Namespace, true)
	if err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	var found *corev1.ConfigMap
	for _, o := range all {
		if m, ok := o.(*corev1.ConfigMap); ok && m.Name == Name {
			found = m
		}
	}
	l.use(found)
	changes, err := l.Objects.Watch(ctx, configMaps, revision)
	if err != nil {
		return fmt.Errorf("watching: %w", err)
	}
	for c := range changes {
		m, ok := c.Object.(*corev1.ConfigMap)
		if !ok || m.Namespace != Namespace || m.Name != Name {
			continue
		}
		if c.Type == watch.Deleted {
			m = nil
		}
		l.use(m)
	}
	return nil
}

func (l *List) use(m *corev1.ConfigMap) {
	e := &entries{nodes: map[string]time.Time{}, serials: map[string]bool{}}
	if m != nil {
		e.read(m.Data, l.Log)
	} else if was := l.current.Load(); was != nil && was.count() > 0 {
		l.deleted = was
		l.Log.Warn("the list of revoked certificates was deleted; what it had stays in force until this server ends: write it again",
			"configmap", Namespace+"/"+Name, "entries", was.count())
	}
	e.add(l.deleted)
	first := l.current.Swap(e) == nil
	if first {
		close(l.ready)
	}
	if l.Changed != nil && (!first || e.count() > 0) {
		l.Changed()
	}
}

func (e *entries) count() int { return len(e.nodes) + len(e.serials) }

// add adds what another list, which may be nil, has more or for longer.
func (e *entries) add(other *entries) {
	if other == nil {
		return
	}
	maps.Copy(e.serials, other.serials)
	for node, until := range other.nodes {
		if until.After(e.nodes[node]) {
			e.nodes[node] = until
		}
	}
}

func (e *entries) read(data map[string]string, log *slog.Logger) {
	for key, value := range data {
		if node, ok := strings.CutPrefix(key, NodePrefix); ok {
			until, err := time.Parse(time.RFC3339, value)
			if err != nil {
				log.Warn("an entry of the revoked certificates is no time: all of the node's are refused", "node", node, "err", err)
				until = endOfTime
			}
			e.nodes[node] = until
		} else if serial, ok := strings.CutPrefix(key, SerialPrefix); ok {
			e.serials[strings.ToLower(strings.TrimLeft(serial, "0"))] = true
		}
	}
}

var endOfTime = time.Unix(1<<40, 0)

// WaitReady waits until the list has been read once.
func (l *List) WaitReady(ctx context.Context) error {
	select {
	case <-l.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("reading the revoked certificates: %w", ctx.Err())
	}
}

// Revoked reports whether the certificate is on the list, or the list cannot be read before
// ctx ends.
func (l *List) Revoked(ctx context.Context, c *x509.Certificate) bool {
	e := l.current.Load()
	if e == nil {
		if l.WaitReady(ctx) != nil {
			return true
		}
		e = l.current.Load()
	}
	if len(e.serials) > 0 && e.serials[fmt.Sprintf("%x", c.SerialNumber)] {
		return true
	}
	if len(e.nodes) == 0 {
		return false
	}
	until, ok := e.nodes[nodeOf(c)]
	return ok && pki.Issued(c).Before(until)
}

// Until returns the time up to which the certificates of a node are revoked.
func (l *List) Until(node string) time.Time {
	if e := l.current.Load(); e != nil {
		return e.nodes[node]
	}
	return time.Time{}
}

// nodeOf returns the node that a certificate belongs to.
func nodeOf(c *x509.Certificate) string {
	for _, prefix := range []string{pki.NodePrefix, pki.ProxierPrefix} {
		if node, ok := strings.CutPrefix(c.Subject.CommonName, prefix); ok {
			return node
		}
	}
	return ""
}
