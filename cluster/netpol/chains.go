package netpol

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"

	"wheelhouse/cluster/netfilter"
)

// Chains in the table mangle. It precedes the table filter, where the service proxy, Docker and firewalls accept packets, and
// follows the translation of service addresses.
const (
	table     = "mangle"
	mainChain = "KUBE-NETPOL"
	outChain  = "KUBE-NETPOL-OUT"  // by the sending pod
	inChain   = "KUBE-NETPOL-IN"   // by the receiving pod
	selfChain = "KUBE-NETPOL-SELF" // a pod that reaches itself through a service
	outPrefix = "KUBE-NPE-"        // what pods under the same policies may send
	inPrefix  = "KUBE-NPI-"        // what they may receive

	// setPrefix begins the name of each set.
	setPrefix = "KUBE-NP-"

	// proxied is the mark of the service proxy on what returns through the node, among others of a pod that
	// reaches itself.
	proxied = "0x4000/0x4000"
)

// owner is what this package has in the kernel's tables.
var owner = &netfilter.Owner{
	Tables: []string{table},
	Chains: []string{mainChain, outChain, inChain, selfChain, outPrefix, inPrefix},
	Anchors: []netfilter.Anchor{{
		Table: table, Chain: "FORWARD", First: true,
		Rule: []string{"-m", "comment", "--comment", "kubernetes network policies", "-j", mainChain},
	}},
}

// Cleanup removes all rules, chains and sets of network policies from the process's network namespace.
func Cleanup(ctx context.Context) error {
	return errors.Join(owner.Cleanup(ctx), netfilter.RemoveSets(setPrefix))
}

// hashed returns a name with the prefix that stands for the parts, 16 characters longer than the prefix: chains have
// at most 28 characters, and sets, with the suffix that they have while they are filled, at most 31.
func hashed(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return prefix + base32.StdEncoding.EncodeToString(sum[:10])
}
