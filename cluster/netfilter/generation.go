package netfilter

import (
	"encoding/binary"
	"os/exec"
	"strings"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Generation remembers at which generation of the kernel's rules a check of them held. The
// kernel counts the generations of nftables in each network namespace; any change of a rule is
// a new one. A node that nobody changes so starts no iptables process for its regular checks.
//
// A Generation is not safe for concurrent use.
type Generation struct {
	seen uint32
	held bool
}

// Holds returns what check returns. It does not call check if that held before and no rule has
// changed since. With the legacy backend, which counts nothing, it always does.
func (g *Generation) Holds(check func() bool) bool {
	now, counted := generation() // before the check: what changes during it is checked again
	if counted && g.held && g.seen == now {
		return true
	}
	ok := check()
	g.seen, g.held = now, ok && counted
	return ok
}

// onNftables reports whether iptables writes to nftables.
var onNftables = sync.OnceValue(func() bool {
	out, err := exec.Command("iptables", "--version").Output()
	return err == nil && strings.Contains(string(out), "nf_tables")
})

// generation returns the generation of the rules in the thread's network namespace, and whether
// there is one.
func generation() (uint32, bool) {
	if !onNftables() {
		return 0, false
	}
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	answers, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil || len(answers) != 1 || len(answers[0]) < nl.SizeofNfgenmsg {
		return 0, false
	}
	attributes, err := nl.ParseRouteAttr(answers[0][nl.SizeofNfgenmsg:])
	if err != nil {
		return 0, false
	}
	for _, a := range attributes {
		if a.Attr.Type&nl.NLA_TYPE_MASK == unix.NFTA_GEN_ID && len(a.Value) == 4 {
			return binary.BigEndian.Uint32(a.Value), true
		}
	}
	return 0, false
}
