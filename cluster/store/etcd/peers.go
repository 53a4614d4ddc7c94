package etcd

import (
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/rafthttp"
	"go.uber.org/zap"
)

// Peers is a member's place among several. They talk over mutual TLS: who has no certificate
// of the authority in TLS is not answered.
type Peers struct {
	Name    string         // of this member, unique among the members
	Address netip.AddrPort // where the others reach this member
	TLS     TLS            // files of this member's certificate and of the members' authority
	// Join has the other members when this one was added as a learner and has not yet been
	// ready: what a former attempt has left in the directory is removed then. nil: the member
	// begins a cluster, or goes on with what is in the directory.
	Join []MemberInfo
}

// ErrRemoved is the end of a member that the others have removed.
var ErrRemoved = errors.New("the other masters have removed this one: to join again, remove the directory etcd below --state-dir and start with --join and a new token")

// The timing of several members, as etcd's documentation has it for a network, with a longer
// time to elect: masters may be slow machines. A leader that is gone is replaced after 2 to 4 s.
const (
	peerTickMs        = 100
	peerElectionTicks = 20
	peerCatchUp       = 5000
)

// URL is where the others reach the member.
func (p *Peers) URL() string { return "https://" + p.Address.String() }

func (p *Peers) configure(c *config.ServerConfig) {
	c.MaxLearners = 1
	if p == nil {
		return
	}
	own := types.MustNewURLs([]string{p.URL()})
	c.Name, c.PeerURLs = p.Name, own
	c.InitialPeerURLsMap = types.URLsMap{p.Name: own}
	c.NewCluster = p.Join == nil
	for _, m := range p.Join {
		c.InitialPeerURLsMap[m.ID] = types.MustNewURLs(m.PeerURLs)
	}
	c.PeerTLSInfo = p.tls()
	c.TickMs, c.ElectionTicks = peerTickMs, peerElectionTicks
	c.SnapshotCatchUpEntries = peerCatchUp
}

// tls is TLS with connections from the member's own address, which is in its certificate.
func (p *Peers) tls() TLS {
	t := p.TLS
	t.ClientCertAuth, t.LocalAddr = true, p.Address.Addr().String()
	return t
}

// joins reports whether the member begins with what the others have.
func (c Config) joins() bool { return c.Peers != nil && c.Peers.Join != nil }

// forget removes what an interrupted attempt to join has left: a learner has nothing that the
// others have not, and they have made a new member of it meanwhile.
func (c Config) forget() error {
	if exists(c.madeFile()) {
		return fmt.Errorf("%s holds a member that has joined already", c.Dir)
	}
	return os.RemoveAll(filepath.Join(c.Dir, "member"))
}

// markMade says from now on that the member has been here: for one that has joined it is on
// the disk before the others count on its vote.
func (c Config) markMade() error {
	if c.Mark != "" && !exists(c.Mark) {
		if err := os.WriteFile(c.Mark, nil, 0o600); err != nil {
			return err
		}
	}
	if exists(c.madeFile()) {
		return nil
	}
	f, err := os.OpenFile(c.madeFile(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if c.Peers == nil {
		return f.Close()
	}
	dir, err := os.Open(c.Dir)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close(), dir.Sync(), dir.Close())
}

// Made reports whether a member has been ready in a directory.
func Made(dir string) bool { return exists(MadeFile(dir)) }

// MadeFile is the file that says so.
func MadeFile(dir string) string { return Config{Dir: dir}.madeFile() }

// peerServer answers the other members.
type peerServer struct {
	listener net.Listener
	http     *http.Server
}

func listenPeers(p *Peers) (*peerServer, error) {
	if p == nil {
		return nil, nil
	}
	info := p.tls()
	l, err := transport.NewListenerWithOpts(p.Address.String(), "https",
		transport.WithTLSInfo(&info), transport.WithTimeout(rafthttp.ConnReadTimeout, rafthttp.ConnWriteTimeout))
	if err != nil {
		return nil, fmt.Errorf("listening for the other masters (choose another with --etcd-peer-port): %w", err)
	}
	return &peerServer{listener: l}, nil
}

func (s *peerServer) serve(member *etcdserver.EtcdServer, log *zap.Logger) {
	if s == nil {
		return
	}
	s.http = &http.Server{
		Handler:     etcdhttp.NewPeerHandler(log, member),
		ReadTimeout: 5 * time.Minute, // as etcd
		ErrorLog:    stdlog.New(io.Discard, "", 0),
	}
	go func() { _ = s.http.Serve(s.listener) }() // until close
}

func (s *peerServer) close() {
	switch {
	case s == nil:
	case s.http != nil:
		_ = s.http.Close() // nothing is left to say
	default:
		_ = s.listener.Close()
	}
}
