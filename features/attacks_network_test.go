package features_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// dialAttacks have the API server connect to an address of the attacker's choice.
func dialAttacks() []attack {
	const kind = "the API server connects where it is sent"
	inOwn := "/api/v1/namespaces/" + own
	return []attack{
		{kind, "a pod with an address of the machine", "CVE-2020-8562", func(ctx context.Context, s *fixture) error {
			pod := `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"false-address"},"spec":{"nodeName":"no-such-node","containers":[{"name":"c","image":"busybox"}]}}`
			if r := s.admin.post(ctx, inOwn+"/pods", pod); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			defer s.admin.delete(ctx, inOwn+"/pods/false-address?gracePeriodSeconds=0")
			for _, address := range []string{"127.0.0.1", "169.254.169.254", addressOf(s.master)} {
				s.admin.merge(ctx, inOwn+"/pods/false-address/status", fmt.Sprintf(`{"status":{"podIP":%q,"podIPs":[{"ip":%q}]}}`, address, address))
				if err := refused(s.admin.get(ctx, inOwn+"/pods/https:false-address:443/proxy/healthz"), 400, 403, 503); err != nil {
					return err
				}
			}
			return nil
		}},
		{kind, "a pod's status by its owner", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.editor.merge(ctx, inOwn+"/pods/target/status", `{"status":{"podIP":"127.0.0.1"}}`)),
				refused(s.owner.merge(ctx, inOwn+"/pods/target/status", `{"status":{"podIP":"127.0.0.1"}}`)))
		}},
		{kind, "endpoints of the attacker", "CVE-2021-25740", func(ctx context.Context, s *fixture) error {
			service := `{"kind":"Service","apiVersion":"v1","metadata":{"name":"chosen-endpoints"},"spec":{"ports":[{"port":443}]}}`
			if r := s.admin.post(ctx, inOwn+"/services", service); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			defer s.admin.delete(ctx, inOwn+"/services/chosen-endpoints")
			for _, address := range []string{"127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0"} {
				body := fmt.Sprintf(`{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"chosen-endpoints"},"subsets":[{"addresses":[{"ip":%q}],"ports":[{"port":443}]}]}`, address)
				if err := refused(s.admin.post(ctx, inOwn+"/endpoints", body), 422); err != nil {
					return err
				}
			}
			body := fmt.Sprintf(`{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"chosen-endpoints"},"subsets":[{"addresses":[{"ip":%q}],"ports":[{"port":443}]}]}`, addressOf(s.master))
			s.admin.post(ctx, inOwn+"/endpoints", body)
			return each(refused(s.editor.post(ctx, inOwn+"/endpoints", body), 403, 409), refused(s.editor.get(ctx, inOwn+"/services/https:chosen-endpoints:443/proxy/healthz"), 400, 403, 503))
		}},
		{kind, "a node with an address of the API server", "", func(ctx context.Context, s *fixture) error {
			node := `{"kind":"Node","apiVersion":"v1","metadata":{"name":"false-address"}}`
			if r := s.admin.post(ctx, "/api/v1/nodes", node); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			defer s.admin.delete(ctx, "/api/v1/nodes/false-address")
			for _, address := range []string{"127.0.0.1", addressOf(s.master), addressOfService(ctx, s)} {
				s.admin.merge(ctx, "/api/v1/nodes/false-address/status", fmt.Sprintf(
					`{"status":{"addresses":[{"type":"InternalIP","address":%q}],"daemonEndpoints":{"kubeletEndpoint":{"Port":443}}}}`, address))
				r := s.admin.get(ctx, "/api/v1/nodes/false-address/proxy/api/v1/secrets")
				if r.code == http.StatusOK || strings.Contains(r.body, privateValue) {
					return fmt.Errorf("the kubelet certificate has been accepted by the API server: %v", r)
				}
			}
			return nil
		}},
		{kind, "another scheme, host or user in the target", "", func(ctx context.Context, s *fixture) error {
			for _, target := range []string{"gopher:target:80", "http:target@127.0.0.1:80", "target%3a80%2f..", "https:127.0.0.1:443", "http:target:99999", "target:80:80:80"} {
				if err := refused(s.owner.get(ctx, inOwn+"/pods/"+target+"/proxy/"), 400, 403, 404, 503); err != nil {
					return err
				}
			}
			return nil
		}},
		{kind, "the kubelet without a right to it", "", func(ctx context.Context, s *fixture) error {
			kubelet := *s.nobody
			kubelet.host = "https://" + addressOf(s.minion) + ":10250"
			stranger := *s.anonymous
			stranger.host = kubelet.host
			for _, path := range []string{"/pods", "/runningpods/", "/logs/", "/metrics", "/exec/" + own + "/target/c?command=id&output=1", "/containerLogs/" + own + "/target/c", "/stats/summary", "/configz"} {
				if err := each(refused(kubelet.get(ctx, path), 401, 403), refused(stranger.get(ctx, path), 401, 403)); err != nil {
					return err
				}
			}
			return nil
		}},
		{kind, "the node's own files through its log directory", "CVE-2020-8559", func(ctx context.Context, s *fixture) error {
			for _, path := range []string{"..%2f..%2fetc%2fshadow", "../../etc/shadow", "%2fetc%2fshadow"} {
				r := s.admin.get(ctx, "/api/v1/nodes/minion-1/proxy/logs/"+path)
				if strings.Contains(r.body, "root:") {
					return fmt.Errorf("%v", r)
				}
			}
			return nil
		}},
	}
}

// answers is an error when the API server does not answer at the address.
func (s *fixture) answers(ctx context.Context, address string) error {
	c := *s.admin
	c.host = "https://" + address
	if r := c.get(ctx, "/readyz"); r.code != http.StatusOK {
		return fmt.Errorf("the API server does not answer at %s: %v", address, r)
	}
	return nil
}

// fromPod is an error when a pod of minion-1, or the node itself, does not reach the DNS
// server and the API server at its service address. The shell's wget has none of the
// API server's ciphers: an alert from the peer shows that a TLS server answered.
func (s *fixture) fromPod(ctx context.Context) error {
	script := `nslookup kubernetes.default.svc.cluster.local >/dev/null && wget -q -O - --no-check-certificate https://kubernetes.default/healthz 2>&1`
	out, err := s.kubectl(ctx, "exec", "-n", own, "target", "--", "sh", "-c", script).CombinedOutput()
	if text := string(out); !strings.Contains(text, "TLS error from peer") && !strings.HasSuffix(text, "ok") {
		return fmt.Errorf("from a pod: %w: %s", err, out)
	}
	text, err := s.onNode(ctx, "minion-1", "curl", "-sk", "-m", "10", "https://"+addressOfService(ctx, s)+"/healthz")
	if err != nil || text != "ok" {
		return fmt.Errorf("from a node: %w: %s", err, text)
	}
	return nil
}

// addressAttacks write services and pods that take over addresses of others.
func addressAttacks() []attack {
	const rights, rules = "a right to addresses", "addresses that capture others"
	inOwn := "/api/v1/namespaces/" + own
	service := func(name, spec string) string {
		return fmt.Sprintf(`{"kind":"Service","apiVersion":"v1","metadata":{"name":%q},"spec":{"selector":{"a":"b"},%s}}`, name, spec)
	}
	return []attack{
		{rights, "external addresses by an editor", "CVE-2020-8554", func(ctx context.Context, s *fixture) error {
			plain := s.editor.post(ctx, inOwn+"/services", service("plain", `"ports":[{"port":443}]`))
			if plain.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", plain)
			}
			return each(
				refused(s.editor.post(ctx, inOwn+"/services", service("grab", fmt.Sprintf(`"ports":[{"port":443}],"externalIPs":[%q]`, addressOf(s.master)))), 403),
				refused(s.owner.post(ctx, inOwn+"/services", service("grab", `"ports":[{"port":53}],"externalIPs":["8.8.8.8"]`)), 403),
				refused(s.owner.merge(ctx, inOwn+"/services/plain", fmt.Sprintf(`{"spec":{"externalIPs":[%q]}}`, addressOf(s.master))), 403))
		}},
		{rights, "the address of a load balancer by an editor", "CVE-2020-8554", func(ctx context.Context, s *fixture) error {
			patch := fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q}]}}}`, addressOf(s.master))
			return each(refused(s.editor.merge(ctx, inOwn+"/services/plain/status", patch)), refused(s.owner.merge(ctx, inOwn+"/services/plain/status", patch)))
		}},
		{rights, "a pod on the master by an editor", "", func(ctx context.Context, s *fixture) error {
			spec := func(more string) string {
				return `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"host-port"},"spec":{"nodeName":"master",` + more + `"containers":[{"name":"c","image":"busybox","ports":[{"containerPort":80,"hostPort":443}]}]}}`
			}
			return each(refused(s.editor.post(ctx, inOwn+"/pods", spec("")), 403), refused(s.owner.post(ctx, inOwn+"/pods", spec(`"hostNetwork":true,`)), 403, 422))
		}},
		{rights, "a binding to the master by an editor", "", func(ctx context.Context, s *fixture) error {
			pod := `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"unbound"},"spec":{"schedulerName":"none","containers":[{"name":"c","image":"busybox"}]}}`
			if r := s.editor.post(ctx, inOwn+"/pods", pod); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			bind := `{"kind":"Binding","apiVersion":"v1","metadata":{"name":"unbound"},"target":{"kind":"Node","name":"master"}}`
			return each(refused(s.editor.post(ctx, inOwn+"/pods/unbound/binding", bind), 403), refused(s.editor.post(ctx, inOwn+"/bindings", bind), 403),
				refused(s.owner.post(ctx, inOwn+"/pods/unbound/binding", bind), 403))
		}},
		{rules, "the API server's address as an external one", "CVE-2020-8554", func(ctx context.Context, s *fixture) error {
			spec := fmt.Sprintf(`"ports":[{"port":443}],"externalIPs":[%q]`, addressOf(s.master))
			return s.captures(ctx, service("external", spec), "external")
		}},
		{rules, "a service address as an external one", "CVE-2020-8554", func(ctx context.Context, s *fixture) error {
			spec := fmt.Sprintf(`"ports":[{"name":"a","port":443},{"name":"b","port":53,"protocol":"UDP"}],"externalIPs":[%q,"10.247.0.10"]`, addressOfService(ctx, s))
			return s.captures(ctx, service("external-service", spec), "external-service")
		}},
		{rules, "the kubelet's and the DNS server's ports", "CVE-2020-8554", func(ctx context.Context, s *fixture) error {
			spec := fmt.Sprintf(`"ports":[{"name":"a","port":10250},{"name":"b","port":53,"protocol":"UDP"},{"name":"c","port":53}],"externalIPs":[%q,%q]`, addressOf(s.minion), addressOf(s.master))
			return s.captures(ctx, service("external-ports", spec), "external-ports")
		}},
		{rules, "the API server's address as a load balancer's", "CVE-2020-8554", func(ctx context.Context, s *fixture) error {
			if r := s.admin.post(ctx, inOwn+"/services", service("balancer", `"type":"LoadBalancer","ports":[{"port":443}]`)); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			s.admin.merge(ctx, inOwn+"/services/balancer/status", fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q}]}}}`, addressOf(s.master)))
			return s.stillThere(ctx, "balancer")
		}},
		{rules, "a host port on the master", "", func(ctx context.Context, s *fixture) error {
			pod := `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"on-the-master"},"spec":{"nodeName":"master","containers":[{"name":"c","image":"busybox","command":["sleep","10000"],"ports":[{"containerPort":80,"hostPort":443}]}]}}`
			if r := s.admin.post(ctx, inOwn+"/pods", pod); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			defer s.admin.delete(ctx, inOwn+"/pods/on-the-master?gracePeriodSeconds=0")
			if err := s.running(ctx, own, "on-the-master"); err != nil && !strings.Contains(err.Error(), "Pending") && !strings.Contains(err.Error(), "Failed") {
				return err
			}
			return each(s.answers(ctx, addressOf(s.master)), s.fromPod(ctx))
		}},
		{rules, "up repairs a cluster with such services", "", func(ctx context.Context, s *fixture) error {
			_, err := s.cluster.run(ctx, "up", "--nodes", "2")
			return each(err, s.answers(ctx, addressOf(s.master)), s.fromPod(ctx))
		}},
		{rules, "a namespace that shadows the cluster's names", "", func(ctx context.Context, s *fixture) error {
			for _, ns := range []string{"svc", "local"} {
				if r := s.admin.post(ctx, "/api/v1/namespaces", fmt.Sprintf(`{"kind":"Namespace","apiVersion":"v1","metadata":{"name":%q}}`, ns)); r.code != http.StatusCreated {
					return fmt.Errorf("preparing: %v", r)
				}
				defer s.admin.delete(ctx, "/api/v1/namespaces/"+ns)
			}
			svc := `{"kind":"Service","apiVersion":"v1","metadata":{"name":"default"},"spec":{"type":"ExternalName","externalName":"evil.example.com"}}`
			s.admin.post(ctx, "/api/v1/namespaces/svc/services", svc)
			return s.fromPod(ctx)
		}},
	}
}

// captures makes a service as the administrator and looks whether all is still reached.
func (s *fixture) captures(ctx context.Context, service, name string) error {
	if r := s.admin.post(ctx, "/api/v1/namespaces/"+own+"/services", service); r.code != http.StatusCreated && r.code != http.StatusUnprocessableEntity && r.code != http.StatusForbidden {
		return fmt.Errorf("preparing: %v", r)
	}
	return s.stillThere(ctx, name)
}

// stillThere gives the service an endpoint, so that its rules are complete, waits for a
// node to have rules of a service that was made later, and then asks for the API server,
// the DNS server and the kubelets.
func (s *fixture) stillThere(ctx context.Context, name string) error {
	services := "/api/v1/namespaces/" + own + "/services"
	endpoints := fmt.Sprintf(`{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":%q},"subsets":[{"addresses":[{"ip":"10.246.9.9"}],"ports":[{"name":"a","port":1}]}]}`, name)
	s.admin.post(ctx, "/api/v1/namespaces/"+own+"/endpoints", endpoints)
	marker := fmt.Sprintf(`{"kind":"Service","apiVersion":"v1","metadata":{"name":"marker-%s"},"spec":{"ports":[{"port":80}]}}`, name)
	made := s.admin.post(ctx, services, marker)
	_, rest, _ := strings.Cut(made.body, `"clusterIP":"`)
	address, _, _ := strings.Cut(rest, `"`)
	for _, node := range []string{"master", "minion-1", "minion-2"} {
		err := until(ctx, 20*time.Second, "the rules of "+address+" on "+node, func() (string, bool, error) {
			out, err := s.onNode(ctx, node, "iptables-save")
			return fmt.Sprintf("%d bytes of rules", len(out)), strings.Contains(out, address), err
		})
		if err != nil {
			return err
		}
	}
	kubelet := s.admin.get(ctx, "/api/v1/namespaces/"+own+"/pods/target/log")
	if kubelet.code != http.StatusOK {
		return fmt.Errorf("the kubelet is not reached: %v", kubelet)
	}
	return each(s.answers(ctx, addressOf(s.master)), s.fromPod(ctx))
}
