//go:build !quick

package local_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/client"
)

// The test binary stands in for the wheelhouse program: it answers what Up asks of
// a server and of a node, and does no more.

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func stub(args []string) int {
	f := flag.NewFlagSet(args[0], flag.ExitOnError)
	var nodes list
	values := map[string]*string{}
	for _, name := range []string{"state-dir", "address", "port", "service-cidr", "pod-cidr", "node-cidr", "ingress-address", "ingress-access-log", "dns-address", "kubeconfig", "name", "cluster-cidr", "cluster", "cluster-dns", "eviction-hard", "resolv-conf", "resolver-netns"} {
		values[name] = f.String(name, "", "")
	}
	f.Var(&nodes, "node", "")
	f.Bool("unschedulable", false, "")
	f.Bool("class", false, "")
	f.String("load-balancer-pool", "", "")
	_ = f.Parse(args[1:])
	run := stubServer
	if args[0] == "node" {
		run = stubNode
	}
	if err := run(func(name string) string { return *values[name] }, nodes); err != nil {
		fmt.Fprintln(os.Stderr, args[0], err)
		return 1
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return 0
}

func stubServer(arg func(string) string, nodes []string) error {
	if _, err := os.Stat(filepath.Join(arg("state-dir"), "fail")); err == nil {
		return fmt.Errorf("told to fail")
	}
	at := net.JoinHostPort(arg("address"), arg("port"))
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", arg("address")+":53")
	if err != nil {
		return err
	}
	kubernetes := strings.TrimSuffix(arg("dns-address"), "10") + "1"
	go func() {
		_ = dns.ActivateAndServe(nil, udp, dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			rr, _ := dns.NewRR(r.Question[0].Name + " 5 IN A " + kubernetes)
			m.Answer = []dns.RR{rr}
			_ = w.WriteMsg(m)
		}))
	}()
	users := []string{"admin"}
	for _, n := range nodes {
		name, _, _ := strings.Cut(n, "=")
		users = append(users, name)
	}
	for _, u := range users {
		k := client.Kubeconfig{Cluster: "stub", Server: "http://" + at, User: u}
		if err := client.WriteKubeconfig(filepath.Join(arg("state-dir"), u+".kubeconfig"), k); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(filepath.Join(arg("state-dir"), "slow")); err == nil {
			http.Error(w, "[-]etcd is still opening", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "ok")
	})
	mux.HandleFunc("DELETE /api/v1/nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = os.Remove(filepath.Join(arg("state-dir"), "nodes", r.PathValue("name"), "ready"))
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success"})
	})
	mux.HandleFunc("GET /api/v1/nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		name := r.PathValue("name")
		st, err := os.Stat(filepath.Join(arg("state-dir"), "nodes", name, "ready"))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
			return
		}
		n := v1.Node{TypeMeta: metav1.TypeMeta{Kind: "Node", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, LastHeartbeatTime: metav1.NewTime(st.ModTime())}}
		_ = json.NewEncoder(w).Encode(n)
	})
	go func() { _ = http.Serve(l, mux) }()
	return nil
}

func stubNode(arg func(string) string, _ []string) error {
	if _, err := os.Stat(arg("kubeconfig")); err != nil {
		return err
	}
	// In place of the proxy: the service address of DNS leads to the server.
	master := arg("address")[:strings.LastIndexByte(arg("address"), '.')] + ".2"
	rule := []string{"-d", arg("cluster-dns"), "-p", "udp", "--dport", "53", "-j", "DNAT", "--to-destination", master}
	if exec.Command("iptables", append([]string{"-t", "nat", "-C", "OUTPUT"}, rule...)...).Run() != nil {
		if out, err := exec.Command("iptables", append([]string{"-t", "nat", "-A", "OUTPUT"}, rule...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	if err := os.MkdirAll(arg("state-dir"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(arg("state-dir"), "ready"), nil, 0o600)
}
