//go:build !quick

// Package busybox has the tests of the image busybox; the program is the distribution's source.
package busybox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netns"

	"wheelhouse/cluster/kubelet/dockertest"
	"wheelhouse/cluster/wait"
)

// TestBusyBox runs the commands of tutorials in a container that has a loopback interface only;
// the servers that they ask listen there. Each case gives the exit code, and what stands in the
// output: what the image of upstream's configuration prints.
func TestBusyBox(t *testing.T) {
	b := start(t)
	b.serve(t)
	for _, c := range []struct {
		command string
		code    int
		want    string
	}{
		{"wget -q -O - http://127.0.0.1:8080/page", 0, "content"},
		{"wget -q -T 2 -O - http://127.0.0.1:8080/page", 0, "content"},
		{"wget -qO- --timeout=2 http://127.0.0.1:8080/page", 0, "content"},
		{"wget -q --spider --timeout=2 http://127.0.0.1:8080/page", 0, ""},
		{"wget --spider -S --tries 1 http://127.0.0.1:8080/page", 0, "HTTP/1.1 200 OK"},
		{"wget -q --spider http://127.0.0.1:8080/none", 1, "404 Not Found"},
		{"wget -q --timeout 1 -O - http://127.0.0.1:7070/", 1, "download timed out"},
		{"wget -q -T 1 --spider http://127.0.0.1:7070/", 1, "download timed out"},
		{"wget -q -T 1 -O - http://127.0.0.1:1/", 1, "Connection refused"},
		{"wget -q -O - --header 'X-A: b' --post-data c=d --no-check-certificate -U agent http://127.0.0.1:8080/cgi-bin/echo", 0, "POST c=d agent"},

		{"echo ping | nc -u -w 1 127.0.0.1 5353", 0, "ping"},
		{"echo ping | nc -u -w1 -v -n 127.0.0.1 5353", 0, "open"},
		{"nc -z -v -w 1 127.0.0.1 8080", 0, "open"},
		{"nc -z -w 1 127.0.0.1 1", 1, ""},
		{"nc -l -p 6060 -w 3 >/tmp/heard & sleep 0.2; echo words | nc -w 1 127.0.0.1 6060; wait; cat /tmp/heard", 0, "words"},

		{"nslookup web", 0, "Name:\tweb.default.svc.cluster.local\nAddress: 10.0.0.7"},
		{"nslookup kubernetes.default", 0, "Name:\tkubernetes.default.svc.cluster.local\nAddress: 10.0.0.1"},
		{"nslookup kubernetes.default.svc", 0, "Address: 10.0.0.1"},
		{"nslookup kubernetes.default.svc.cluster.local", 0, "Address: 10.0.0.1"},
		{"nslookup kubernetes.default.svc.cluster.local.", 0, "Address: 10.0.0.1"},
		{"nslookup example.org", 0, "Name:\texample.org\nAddress: 192.0.2.1"},
		{"nslookup web 127.0.0.1", 0, "Address: 10.0.0.7"},
		{"nslookup -type=srv _http._tcp.web", 0, "service = 0 1 80 web-0.default.svc.cluster.local"},
		{"nslookup 10.0.0.7", 0, "name = web.default.svc.cluster.local"},
		{"nslookup web.", 1, "** server can't find web.: NXDOMAIN"},
		{"nslookup absent", 1, "** server can't find absent: NXDOMAIN"},
		{"nslookup -timeout=1 -retry=1 web 127.0.0.9", 1, "no servers could be reached"},
		{"ping -c 1 -W 1 127.0.0.1", 0, "1 packets received"},

		{"mkdir --parents /tmp/a/b && ls --color=never -d /tmp/a/b", 0, "/tmp/a/b"},
		{"timeout 1 sleep 20", 143, ""},
		{"date --date=@0 --utc +%Y", 0, "1970"},
		{"seq 3 | xargs -n 1 --no-run-if-empty echo n", 0, "n 3"},
		{"mkdir -p /tmp/c/d && tar --create --file /tmp/x.tar -C /tmp c && tar --list --file /tmp/x.tar", 0, "c/d/"},
		{"su -c id root", 0, "uid=0(root)"},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			out, code := b.run(t, c.command)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d, want %d, and %q in:\n%s", code, c.code, c.want, out)
			}
		})
	}
}

// TestOneAnswer: a name that is found in a later domain of the search list has no complaint about
// the earlier ones, and one that is found nowhere has one for each type.
func TestOneAnswer(t *testing.T) {
	b := start(t)
	b.serve(t)
	if out, _ := b.run(t, "nslookup kubernetes.default"); strings.Contains(out, "can't find") || strings.Count(out, "Server:") != 1 {
		t.Error(out)
	}
	if out, _ := b.run(t, "nslookup absent"); strings.Count(out, "can't find absent") != 2 {
		t.Error(out)
	}
}

// box is a running container of the image.
type box struct {
	id string
	ns netns.NsHandle
}

func start(t *testing.T) *box {
	t.Helper()
	dockertest.Require(t)
	id := docker(t, "run", "--detach", "--rm", "--network", "none", "--dns", "127.0.0.1", "--dns-opt", "ndots:5",
		"--dns-search", "default.svc.cluster.local", "--dns-search", "svc.cluster.local", "--dns-search", "cluster.local",
		dockertest.BusyBox, "sh", "-c", "trap exit TERM; sleep 600 & wait")
	t.Cleanup(func() { docker(t, "rm", "--force", id) })
	pid, err := strconv.Atoi(docker(t, "inspect", "--format", "{{.State.Pid}}", id))
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return &box{id: id, ns: ns}
}

// docker returns what the client prints on its output.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("docker %q: %v %s", args, err, &errs)
	}
	return strings.TrimSpace(out.String())
}

// run returns the output and the exit code of a command in the container.
func (b *box) run(t *testing.T, command string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", "exec", b.id, "sh", "-c", command).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	} else if err != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// inside runs open in the container's network: sockets stay where they were opened.
func (b *box) inside(t *testing.T, open func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		if err := netns.Set(b.ns); err != nil {
			done <- err
			return
		}
		done <- open()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// serve starts a web server of the container's own on port 8080, one that never answers on 7070,
// an echo by UDP on 5353, and a name server.
func (b *box) serve(t *testing.T) {
	t.Helper()
	page := `mkdir -p /www/cgi-bin && echo content >/www/page && printf '#!/bin/sh\necho; echo $REQUEST_METHOD $(cat) $HTTP_USER_AGENT\n' >/www/cgi-bin/echo &&
		chmod +x /www/cgi-bin/echo && httpd -p 8080 -h /www`
	if out, code := b.run(t, page); code != 0 {
		t.Fatal(out)
	}
	var silent net.Listener
	var echo, names net.PacketConn
	b.inside(t, func() (err error) {
		if silent, err = net.Listen("tcp", "127.0.0.1:7070"); err != nil {
			return err
		}
		if echo, err = net.ListenPacket("udp", "127.0.0.1:5353"); err != nil {
			return err
		}
		names, err = net.ListenPacket("udp", "127.0.0.1:53")
		return err
	})
	server := &dns.Server{PacketConn: names, Handler: dns.HandlerFunc(answer)}
	go func() { _ = server.ActivateAndServe() }()
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := echo.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buffer[:n], from)
		}
	}()
	t.Cleanup(func() { _, _, _ = silent.Close(), echo.Close(), names.Close() })
	wait.For(t, "the web server to answer", func() error {
		out, code := b.run(t, "wget -q -O - http://127.0.0.1:8080/page")
		return wait.Seen(code == 0, out)
	})
}

// answer has the names of a cluster, as its DNS answers them: for a type that a name has not got
// there is an empty answer.
func answer(w dns.ResponseWriter, r *dns.Msg) {
	q := r.Question[0]
	records := map[string][]string{
		"web.default.svc.cluster.local.":            {"A 10.0.0.7"},
		"kubernetes.default.svc.cluster.local.":     {"A 10.0.0.1"},
		"example.org.":                              {"A 192.0.2.1", "AAAA 2001:db8::1"},
		"_http._tcp.web.default.svc.cluster.local.": {"SRV 0 1 80 web-0.default.svc.cluster.local."},
		"7.0.0.10.in-addr.arpa.":                    {"PTR web.default.svc.cluster.local."},
	}
	m := new(dns.Msg).SetReply(r)
	known, found := records[q.Name]
	if !found {
		m.Rcode = dns.RcodeNameError
	}
	for _, record := range known {
		if rr, err := dns.NewRR(fmt.Sprintf("%s 5 IN %s", q.Name, record)); err == nil && rr.Header().Rrtype == q.Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	_ = w.WriteMsg(m)
}
