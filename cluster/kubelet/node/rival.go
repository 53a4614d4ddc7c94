package node

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
)

// rivalOf returns which machine has written a node's status in place of this one, as it was reported
// last; "" if none. It is a copy of this machine with its identity: a token is for one new node.
func rivalOf(now, reported *v1.NodeStatus) string {
	at, own := internalIP(now), internalIP(reported)
	boot, ownBoot := now.NodeInfo.BootID, reported.NodeInfo.BootID
	if own == "" || at == own && boot == ownBoot {
		return ""
	}
	return fmt.Sprintf("address %s, boot ID %s", at, boot)
}

func internalIP(s *v1.NodeStatus) string {
	for _, a := range s.Addresses {
		if a.Type == v1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// noteRival reports a machine that runs as this node, too, once for each.
func (n *Node) noteRival(now, reported *v1.NodeStatus) {
	who := rivalOf(now, reported)
	if who == n.rival {
		return
	}
	if n.rival = who; who == "" {
		return
	}
	message := fmt.Sprintf("another machine (%s) runs as node %s: stop one of them, or remove the --state-dir of the copy and start it with another --name", who, n.NodeName)
	n.Log.Error(message)
	n.Event(v1.EventTypeWarning, "DuplicateNode", message)
}
