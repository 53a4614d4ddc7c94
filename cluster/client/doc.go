// Package client is how every component reaches the API server: rest.Configs
// for client-go, from a kubeconfig or straight into a handler of the same
// process, the identity that such calls carry, and the recorder of events.
//
// It never talks to etcd and knows nothing of the server's packages: scheduler,
// controllers, kubelet, proxy and dns import it, and so must stay able to run
// against any cluster. Callers own what they make with it; nothing here runs
// before it is used.
package client

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// User is who makes a request.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
	// Impersonator is who acts as this user, nil if that is the user itself.
	Impersonator *User
}

// InGroup reports whether u is a member of group; a nil User is in none.
func (u *User) InGroup(group string) bool {
	return u != nil && slices.Contains(u.Groups, group)
}

type userKey struct{}

// WithUser says in ctx who makes the request. The server takes it as proven:
// only its authenticator and the in-process transport may call this.
func WithUser(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// UserFrom is the user of ctx, nil when nobody is known.
func UserFrom(ctx context.Context) *User {
	u, _ := ctx.Value(userKey{}).(*User)
	return u
}

type peerKey struct{}

// WithPeer sets in ctx the address that a connection comes from. The server's listener
// calls it once for each connection, so that all requests of the connection carry it.
func WithPeer(ctx context.Context, c net.Conn) context.Context {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, at.Addr().Unmap().WithZone(""))
}

// PeerFrom is the address that the request of ctx came from; it is not valid for a request
// of the process's own components.
func PeerFrom(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(peerKey{}).(netip.Addr)
	return a
}
