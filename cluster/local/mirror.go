package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Mirror is the registry that the nodes of a cluster ask first for each image. The zero value is none.
type Mirror struct {
	Address string `json:"address,omitempty"` // https://HOST:PORT
	CA      string `json:"ca,omitempty"`      // the absolute path of its authority; "": those of the machine
}

// args are the flags of a node.
func (m Mirror) args() (args []string) {
	if m.Address != "" {
		args = append(args, "--image-mirror", m.Address)
	}
	if m.CA != "" {
		args = append(args, "--image-mirror-ca", m.CA)
	}
	return args
}

// checkMirror refuses a mirror that the nodes cannot reach: any if the cluster is isolated, and one on this machine unless its
// nodes may open connections to it.
func (r record) checkMirror(ctx context.Context, hostAccess bool) error {
	switch {
	case r.Mirror.Address == "" && r.Mirror.CA != "":
		return errors.New("the authority of an image mirror is given without the mirror")
	case r.Mirror.Address == "":
		return nil
	case r.Isolated:
		return fmt.Errorf("the nodes of an isolated cluster do not reach the image mirror %s: their images are those of this machine's Docker Engine", r.Mirror.Address)
	case hostAccess || !ownHost(ctx, r.Mirror.Address):
		return nil
	}
	return fmt.Errorf("the image mirror %s is this machine, to which its nodes open no connections: they have the images of its Docker Engine (`wheelhouse bundle images`, docker load); "+
		"or allow it with --allow-host-access", r.Mirror.Address)
}

// ownHost reports whether the host of an URL is this machine.
func ownHost(ctx context.Context, address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false // the node refuses it
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, u.Hostname())
	own, err2 := net.InterfaceAddrs()
	if errors.Join(err, err2) != nil {
		return false
	}
	for _, a := range own {
		n, ok := a.(*net.IPNet)
		for _, ip := range ips {
			if ip.IP.IsLoopback() || ok && n.IP.Equal(ip.IP) {
				return true
			}
		}
	}
	return false
}
