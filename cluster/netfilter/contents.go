package netfilter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// content is what the rules of a chain are, without their counters. The same rules in the same order have the same sum as
// long as the process runs; no rules have 0.
type content struct {
	sum   uint64
	jumps []string // the chains that rules jump or go to
}

var contentSeed = maphash.MakeSeed()

// contentReader reads contents of chains. With nftables it asks for one chain at a time, 60 µs each: for a list of a whole table
// the kernel begins at the first rule for each message of the list, which takes 20 s of the processor for 180,000 rules.
// The legacy backend reads whole tables. Close it.
type contentReader struct {
	socket *nl.NetlinkSocket
	saved  map[string]map[string]content // of the legacy backend, by table
}

func newContentReader() (*contentReader, error) {
	if !onNftables() {
		return &contentReader{saved: map[string]map[string]content{}}, nil
	}
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &contentReader{socket: socket}, socket.SetReceiveTimeout(&nl.SocketTimeoutTv)
}

// wholeTables reports whether further chains of a table cost nothing.
func (r *contentReader) wholeTables() bool { return r.socket == nil }

func (r *contentReader) close() {
	if r.socket != nil {
		r.socket.Close()
	}
}

// read returns the content of a chain, as its rules are in force, without those that another process prepares.
func (r *contentReader) read(table, chain string) (content, error) {
	if r.socket == nil {
		if r.saved[table] == nil {
			out, err := saved(table)
			if err != nil {
				return content{}, err
			}
			r.saved[table] = contentsOfSave(out)
		}
		return r.saved[table][chain], nil
	}
	const attempts = 10 // while other rules change
	for i := 1; ; i++ {
		found, err := r.list(table, chain)
		if !errors.Is(err, nl.ErrDumpInterrupted) || i == attempts {
			return found, err
		}
	}
}

func (r *contentReader) list(table, chain string) (found content, err error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: r.socket, Seq: req.Seq}}
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(table)))
	req.AddData(nl.NewRtAttr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated(chain)))
	err = req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(answer []byte) bool {
		if len(answer) < nl.SizeofNfgenmsg {
			return true
		}
		for kind, value := range attributes(answer[nl.SizeofNfgenmsg:]) {
			if kind == unix.NFTA_RULE_EXPRESSIONS {
				found.add(value)
			}
		}
		return true
	})
	if err != nil {
		return content{}, fmt.Errorf("rules of chain %s in table %s: %w", chain, table, err)
	}
	return found, nil
}

// add adds a rule, which consists of expressions of nftables.
func (c *content) add(expressions []byte) {
	sum := newSum(c.sum)
	for _, expression := range attributes(expressions) {
		var name, data []byte
		for kind, value := range attributes(expression) {
			switch kind {
			case unix.NFTA_EXPR_NAME:
				name = bytes.TrimRight(value, "\x00")
			case unix.NFTA_EXPR_DATA:
				data = value
			}
		}
		switch string(name) {
		case "counter":
			continue
		case "immediate":
			if to := verdictChain(data); to != "" {
				c.jumps = append(c.jumps, to)
			}
		}
		_, _ = sum.Write(name) // never fails
		_, _ = sum.Write(data)
	}
	c.sum = sum.Sum64()
}

// newSum begins the sum of a chain with one more rule.
func newSum(before uint64) *maphash.Hash {
	var sum maphash.Hash
	sum.SetSeed(contentSeed)
	_, _ = sum.Write(binary.NativeEndian.AppendUint64(nil, before))
	return &sum
}

// verdictChain returns the chain to which an immediate expression jumps or goes, "" if to none.
func verdictChain(immediate []byte) string {
	for _, kind := range []uint16{unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT, unix.NFTA_VERDICT_CHAIN} {
		var inner []byte
		for k, value := range attributes(immediate) {
			if k == kind {
				inner = value
			}
		}
		immediate = inner
	}
	return string(bytes.TrimRight(immediate, "\x00"))
}

// contentsOfSave returns by chain what iptables-save prints of a table.
func contentsOfSave(out []byte) map[string]content {
	all := map[string]content{}
	for line := range strings.Lines(string(out)) {
		rest, isRule := strings.CutPrefix(line, "-A ")
		if !isRule {
			continue
		}
		name, _, _ := strings.Cut(rest, " ")
		of := all[name]
		sum := newSum(of.sum)
		_, _ = sum.WriteString(line)
		of.sum = sum.Sum64()
		if to := target(line); to != "" {
			of.jumps = append(of.jumps, to)
		}
		all[name] = of
	}
	return all
}
