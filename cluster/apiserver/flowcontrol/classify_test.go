package flowcontrol

import "testing"

func TestClassify(t *testing.T) {
	nodes, accounts, people := []string{"system:nodes", "system:authenticated"}, []string{"system:serviceaccounts", "system:authenticated"}, []string{"system:authenticated"}
	nobody := []string{"system:unauthenticated"}
	for _, c := range []struct {
		name string
		Request
		level, flow string
	}{
		{"an administrator", Request{User: "admin", Groups: []string{"system:masters", "system:authenticated"}}, Exempt, ""},
		{"a node's status", Request{User: "system:node:n", Groups: nodes, Resource: "nodes"}, NodeHigh, "system:node:n"},
		{"a node's lease", Request{User: "system:node:n", Groups: nodes, Resource: "leases", Namespace: "kube-node-lease"}, NodeHigh, "system:node:n"},
		{"another lease", Request{User: "system:node:n", Groups: nodes, Resource: "leases", Namespace: "kube-system"}, System, "system:node:n"},
		{"a node's pods", Request{User: "system:node:n", Groups: nodes, Resource: "pods"}, System, "system:node:n"},
		{"an election", Request{User: "system:kube-scheduler", Groups: people, Resource: "leases", Namespace: "kube-system"}, LeaderElection, "system:kube-scheduler"},
		{"a component", Request{User: "system:kube-scheduler", Groups: people, Resource: "pods"}, WorkloadHigh, "system:kube-scheduler"},
		{"an add-on", Request{User: "system:serviceaccount:kube-system:dns", Groups: accounts}, WorkloadHigh, "system:serviceaccount:kube-system:dns"},
		{"a pod", Request{User: "system:serviceaccount:team:default", Groups: accounts}, WorkloadLow, "team"},
		{"its sister", Request{User: "system:serviceaccount:team:another", Groups: accounts, Resource: "leases", Namespace: "kube-system"}, WorkloadLow, "team"},
		{"no add-on", Request{User: "system:serviceaccount:kube-system-x:dns", Groups: accounts}, WorkloadLow, "kube-system-x"},
		{"a person", Request{User: "jane", Groups: people, Remote: "1.2.3.4:5"}, GlobalDefault, "jane"},
		{"over IPv6", Request{User: "system:anonymous", Groups: nobody, Remote: "[fd00::1:2]:5", Path: "/api"}, CatchAll, "fd00::/64"},
		{"nobody", Request{User: "system:anonymous", Groups: nobody, Remote: "1.2.3.4:5", Path: "/api"}, CatchAll, "1.2.3.4"},
		{"a probe", Request{User: "system:anonymous", Groups: nobody, Remote: "1.2.3.4:5", Path: "/readyz"}, Probes, "1.2.3.4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if level, flow := Classify(&c.Request); level != c.level || flow != c.flow {
				t.Errorf("%s, %s; want %s, %s", level, flow, c.level, c.flow)
			}
		})
	}
}

// TestLevels: every level that a request can be of exists, whatever the size of the server.
func TestLevels(t *testing.T) {
	for _, seats := range []int{2, 600} {
		levels, sum := Levels(seats, wait), 0
		for _, name := range []string{NodeHigh, System, LeaderElection, WorkloadHigh, WorkloadLow, GlobalDefault, Probes, CatchAll} {
			l := levels[name]
			if l == nil || l.Seats < 1 || l.FlowSeats < 1 || l.FlowSeats > l.Seats || l.QueueWait != wait {
				t.Fatalf("%s: %+v", name, l)
			}
			sum += l.Seats
		}
		if sum < seats || sum > seats+len(levels) {
			t.Errorf("%d seats of %d", sum, seats)
		}
	}
}
