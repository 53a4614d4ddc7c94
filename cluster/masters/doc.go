// Package masters makes several servers one control plane: it hands the cluster's keys over to
// a further master, and keeps the list of the masters that are live.
//
//	wheelhouse token --master                wheelhouse server --join URL --token TOKEN
//	  POST TokenPath (administrators)          pins the authority by the token's hash
//	    -> Secret master-token-ID              POST JoinPath (the token is the credential)
//	                                             spend: once, for one joiner
//	                                             Adder.AddLearner: no vote yet
//	                                           <- the keys, the members, the settings
//	                                           writes the keys, starts the member, is promoted
//
// Keys go to the holder of a master token alone. That is a kind of its own: no node token, no
// certificate and no user is one, and a Secret that somebody writes makes none, since its
// content is authenticated with a key that is derived from the authority's. The Secret holds a
// hash of the token. A token expires, can be deleted, and serves one joiner: another one is
// refused, the same one may try again after it was broken off.
//
// The joiner gives the token to nobody but a server that shows a certificate of the authority
// in the token, with the API server's own name: a node's certificate is not enough.
package masters

import "net/netip"

// The paths at the API server. TokenPath is for those who may use any path, JoinPath for
// whoever has a token.
const (
	TokenPath = "/wheelhouse/masters/token"
	JoinPath  = "/wheelhouse/masters/join"
)

// Settings are what all masters of a cluster must agree on.
type Settings struct {
	PodCIDR     string `json:"podCIDR"`
	ServiceCIDR string `json:"serviceCIDR"`
	DNS         string `json:"dns"`
	Domain      string `json:"domain"`
	NodePorts   string `json:"nodePorts"`
	Class       bool   `json:"class"`
}

// Master is where a live server listens.
type Master struct {
	Address netip.Addr `json:"address"`
	Port    int32      `json:"port"`
	DNSPort int32      `json:"dnsPort,omitempty"` // 0: it serves no DNS
	UIPort  int32      `json:"uiPort,omitempty"`  // 0: it serves no web page
}
