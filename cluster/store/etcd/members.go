package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// MemberInfo is one member as the cluster has it.
type MemberInfo struct {
	ID       string   `json:"id"` // hexadecimal
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
	Learner  bool     `json:"learner,omitempty"` // has no vote yet
	Leader   bool     `json:"leader,omitempty"`
	Answers  bool     `json:"answers"` // to this member, now
}

// ErrAlone is the error of what needs other members, for a member that is alone.
var ErrAlone = errors.New("this server takes no other masters: start it with --cluster-init")

// ID is this member's, in hexadecimal.
func (m *Member) ID() string { return strconv.FormatUint(uint64(m.server.MemberID()), 16) }

// Members lists the members, in the order of their IDs, from what a majority has agreed on.
func (m *Member) Members(ctx context.Context) ([]MemberInfo, error) {
	all, err := m.client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the masters: %w", err)
	}
	list := make([]MemberInfo, len(all.Members))
	leader := uint64(m.server.Leader())
	answered := make(chan struct{})
	for i, o := range all.Members {
		list[i] = MemberInfo{ID: strconv.FormatUint(o.ID, 16), Name: o.Name, PeerURLs: o.PeerURLs, Learner: o.IsLearner, Leader: o.ID == leader}
		go func() {
			list[i].Answers = o.ID == uint64(m.server.MemberID()) || m.answers(ctx, o)
			answered <- struct{}{}
		}()
	}
	for range list {
		<-answered
	}
	slices.SortFunc(list, func(a, b MemberInfo) int { return compareIDs(a.ID, b.ID) })
	return list, nil
}

// PeerAddresses are those of all members, this one and those that do not answer included.
func (m *Member) PeerAddresses() (all []netip.Addr) {
	if m.cfg.Peers == nil {
		return nil
	}
	for _, o := range m.server.Cluster().Members() {
		for _, text := range o.PeerURLs {
			if at, err := netip.ParseAddrPort(strings.TrimPrefix(text, "https://")); err == nil {
				all = append(all, at.Addr())
			}
		}
	}
	return all
}

func compareIDs(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return slices.Compare([]byte(a), []byte(b))
}

// answerPatience is how long a member that runs may take for an answer.
const answerPatience = 3 * time.Second

// answers reports whether a member serves its peers.
func (m *Member) answers(ctx context.Context, o *pb.Member) bool {
	if m.cfg.Peers == nil || o.Name == "" { // it has never started
		return false
	}
	rt, err := transport.NewTransport(m.cfg.Peers.tls(), answerPatience)
	if err != nil {
		return false
	}
	defer rt.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	for _, u := range o.PeerURLs {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, u+"/version", nil)
		if err != nil {
			return false
		}
		if answer, err := rt.RoundTrip(r); err == nil {
			_ = answer.Body.Close() // it has answered
			return answer.StatusCode == http.StatusOK
		}
	}
	return false
}

// ErrExists is the error of AddLearner for a master of which another one with the same name or
// address answers.
var ErrExists = errors.New("there is such a master already")

// AddLearner adds a member that has no vote yet, and returns the others. One of the same name
// or address that does not answer is removed before: it is replaced. So is every learner that
// does not answer: it was broken off, and would keep others out. No vote is counted of the new
// member until it has caught up and Promote was called, so that one which never comes blocks
// nothing.
func (m *Member) AddLearner(ctx context.Context, name, peerURL string) ([]MemberInfo, error) {
	if m.cfg.Peers == nil {
		return nil, ErrAlone
	}
	all, err := m.Members(ctx)
	if err != nil {
		return nil, err
	}
	var others []MemberInfo
	for _, o := range all {
		same := o.Name == name || slices.Contains(o.PeerURLs, peerURL)
		switch {
		case !same && (!o.Learner || o.Answers):
			others = append(others, o)
			continue
		case same && o.Answers:
			return nil, fmt.Errorf("%w: %s at %s runs; choose another --name and --address, or stop it", ErrExists, o.Name, o.PeerURLs)
		}
		if err := m.Remove(ctx, o.ID); err != nil {
			return nil, err
		}
	}
	err = m.reconfigure(ctx, func(ctx context.Context) error {
		_, err := m.client.MemberAddAsLearner(ctx, []string{peerURL})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("adding master %s: %w", name, err)
	}
	return others, nil
}

// Remove removes a member by its ID or name. A change that would leave no majority of members
// that answer is refused.
func (m *Member) Remove(ctx context.Context, which string) error {
	if m.cfg.Peers == nil {
		return ErrAlone
	}
	all, err := m.Members(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(o MemberInfo) bool { return o.ID == which })
	if at < 0 {
		at = slices.IndexFunc(all, func(o MemberInfo) bool { return o.Name == which && which != "" })
	}
	if at < 0 {
		return fmt.Errorf("there is no master with the name or ID %q", which)
	}
	id, err := strconv.ParseUint(all[at].ID, 16, 64)
	if err != nil {
		return err
	}
	err = m.reconfigure(ctx, func(ctx context.Context) error {
		_, err := m.client.MemberRemove(ctx, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing master %s: %w", which, err)
	}
	return nil
}

// Promote gives this member its vote, and returns when it has one. It waits until it has
// caught up with the leader.
func (m *Member) Promote(ctx context.Context) error {
	if m.cfg.Peers == nil {
		return nil
	}
	return m.reconfigure(ctx, func(ctx context.Context) error {
		if !m.server.IsLearner() {
			return nil
		}
		_, err := m.client.MemberPromote(ctx, uint64(m.server.MemberID()))
		return err
	})
}

// SetPeerURL writes this member's address into the list of members, if it is another there.
func (m *Member) SetPeerURL(ctx context.Context) error {
	if m.cfg.Peers == nil {
		return nil
	}
	want := m.cfg.Peers.URL()
	self := m.server.Cluster().Member(m.server.MemberID())
	if self != nil && slices.Equal(self.PeerURLs, []string{want}) {
		return nil
	}
	return m.reconfigure(ctx, func(ctx context.Context) error {
		_, err := m.client.MemberUpdate(ctx, uint64(m.server.MemberID()), []string{want})
		return err
	})
}

// reconfigureRetry is the time between attempts of a change of members that is refused for a
// moment: after each one, five seconds have to pass with a majority connected.
const reconfigureRetry = 500 * time.Millisecond

func (m *Member) reconfigure(ctx context.Context, change func(context.Context) error) error {
	for {
		err := change(ctx)
		if !forAMoment(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-m.server.StopNotify():
			return ErrRemoved
		case <-time.After(reconfigureRetry):
		}
	}
}

// forAMoment reports whether the same change may succeed later.
func forAMoment(err error) bool {
	for _, e := range []error{
		rpctypes.ErrUnhealthy, rpctypes.ErrMemberLearnerNotReady, rpctypes.ErrMemberNotEnoughStarted, rpctypes.ErrNoLeader,
		rpctypes.ErrLeaderChanged, rpctypes.ErrNotLeader, rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToConnectionLost,
	} {
		if errors.Is(err, e) || err != nil && rpctypes.ErrorDesc(err) == rpctypes.ErrorDesc(e) {
			return true
		}
	}
	return false
}
