// Package client connects components to the API server: rest.Configs for
// client-go, from a kubeconfig or for a handler of the same process, the user
// of such requests, node certificates and their rotation, and the event recorder.
//
// It never connects to etcd and imports none of the server's packages, so that
// scheduler, controllers, kubelet, proxy and dns, which import it, can run
// against any cluster. Callers run what has a Run method and flush recorders;
// constructors start nothing.
package client

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// User is the authenticated user of a request.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
	// Impersonator is the user who impersonates this one, or nil.
	Impersonator *User
	// Constraint is the verb by which the Impersonator may, of a constrained mode; "" for impersonate.
	Constraint string
}

// InGroup reports whether u is a member of group; a nil User is in none.
func (u *User) InGroup(group string) bool {
	return u != nil && slices.Contains(u.Groups, group)
}

type userKey struct{}

// WithUser returns ctx with the user of the request, which the server trusts: only its
// authenticator and the in-process transport may call it.
func WithUser(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// UserFrom returns the user of ctx, or nil.
func UserFrom(ctx context.Context) *User {
	u, _ := ctx.Value(userKey{}).(*User)
	return u
}

type peerKey struct{}

// WithPeer returns ctx with the remote address of a connection. The server's listener calls
// it once for each connection, and all requests of the connection have it.
func WithPeer(ctx context.Context, c net.Conn) context.Context {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, at.Addr().Unmap().WithZone(""))
}

// PeerFrom returns the remote address of the request of ctx; it is not valid for a request
// of a component in the server's process.
func PeerFrom(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(peerKey{}).(netip.Addr)
	return a
}
