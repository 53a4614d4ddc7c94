package features_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os/exec"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mirror is a mirror pod as the kubelet of minion-1 makes it.
func (s *fixture) mirror(change func(*corev1.Pod)) *corev1.Pod {
	yes := true
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "mirror", Annotations: map[string]string{"kubernetes.io/config.mirror": "abc"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: s.minion.Name, UID: s.minion.UID, Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: s.minion.Name, Containers: []corev1.Container{{Name: "c", Image: "busybox"}}},
	}
	change(pod)
	return pod
}

func secretEnv() []corev1.EnvVar {
	return []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "private"}, Key: "key",
	}}}}
}

// readsBy is the attack of a mirror pod that names what the node then reads.
func readsBy(change func(*corev1.Pod)) func(context.Context, *fixture) error {
	return func(ctx context.Context, s *fixture) error {
		path := "/api/v1/namespaces/" + victim
		err := refused(s.node.post(ctx, path+"/pods", s.mirror(change)), 403, 422)
		s.admin.delete(ctx, path+"/pods/mirror?gracePeriodSeconds=0")
		return each(err, refused(s.node.get(ctx, path+"/secrets/private"), 403), refused(s.node.get(ctx, path+"/configmaps/private"), 403))
	}
}

// nodeAttacks use the credential of minion-1.
func nodeAttacks() []attack {
	const mirrors, reach, itself = "a mirror pod as the key to secrets", "a node beyond its own pods", "a node about itself"
	other := "/api/v1/namespaces/" + victim + "/pods/target" // on minion-2
	ref := corev1.LocalObjectReference{Name: "private"}
	volume := func(v corev1.VolumeSource) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: v}} }
	}
	return []attack{
		{mirrors, "a secret in env", "", readsBy(func(p *corev1.Pod) { p.Spec.Containers[0].Env = secretEnv() })},
		{mirrors, "a secret in env of an init container", "", readsBy(func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "busybox", Env: secretEnv()}}
		})},
		{mirrors, "a secret in envFrom", "", readsBy(func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref}}}
		})},
		{mirrors, "a config map in envFrom", "", readsBy(func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref}}}
		})},
		{mirrors, "imagePullSecrets", "", readsBy(func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{ref} })},
		{mirrors, "a secret volume", "", readsBy(volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "private"}}))},
		{mirrors, "a config map volume", "", readsBy(volume(corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: ref}}))},
		{mirrors, "a projected secret", "", readsBy(volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: ref}}},
		}}))},
		{mirrors, "a projected token", "", readsBy(volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}}},
		}}))},
		{mirrors, "a claim", "", readsBy(volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}))},
		{mirrors, "a service account", "", readsBy(func(p *corev1.Pod) { p.Spec.ServiceAccountName = "default" })},
		{mirrors, "no owner", "", readsBy(func(p *corev1.Pod) { p.OwnerReferences = nil })},
		{mirrors, "another owner", "", readsBy(func(p *corev1.Pod) { p.OwnerReferences[0].UID = "11111111-2222-3333-4444-555555555555" })},
		{mirrors, "another node", "", readsBy(func(p *corev1.Pod) { p.Spec.NodeName = "minion-2" })},
		{mirrors, "no mirror at all", "", readsBy(func(p *corev1.Pod) { p.Annotations = nil })},

		{reach, "read secrets and config maps", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.node.get(ctx, "/api/v1/namespaces/"+victim+"/secrets/private")), refused(s.node.get(ctx, "/api/v1/secrets")),
				refused(s.node.get(ctx, "/api/v1/namespaces/"+victim+"/secrets?watch=1&timeoutSeconds=1")),
				refused(s.node.get(ctx, "/api/v1/namespaces/kube-system/configmaps")))
		}},
		{reach, "list all pods", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.node.get(ctx, "/api/v1/pods")), refused(s.node.get(ctx, other)), refused(s.node.get(ctx, "/api/v1/pods?watch=1&timeoutSeconds=1")),
				refused(s.node.get(ctx, "/api/v1/pods?fieldSelector=spec.nodeName%3Dminion-2")),
				refused(s.node.get(ctx, "/api/v1/pods?fieldSelector=spec.nodeName!%3Dminion-1")))
		}},
		{reach, "list all nodes", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.node.get(ctx, "/api/v1/nodes")), refused(s.node.get(ctx, "/api/v1/nodes/minion-2")))
		}},
		{reach, "write the status of another node's pod", "", func(ctx context.Context, s *fixture) error {
			return s.unchanged(ctx, other, func() error {
				return each(refused(s.node.merge(ctx, other+"/status", `{"status":{"podIP":"127.0.0.1"}}`)), refused(s.node.delete(ctx, other)),
					refused(s.node.post(ctx, other+"/eviction", `{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"target"}}`)))
			})
		}},
		{reach, "change the spec or labels of a pod", "", func(ctx context.Context, s *fixture) error {
			pod := "/api/v1/namespaces/" + own + "/pods/target"
			return each(refused(s.node.merge(ctx, pod, `{"metadata":{"labels":{"app":"other"}}}`)),
				refused(s.node.merge(ctx, pod+"/status", `{"metadata":{"labels":{"app":"other"}}}`), 403, 200), s.labelled(ctx, pod, "app"))
		}},
		{reach, "tokens of other audiences and accounts", "", func(ctx context.Context, s *fixture) error {
			pod, err := s.cluster.client.CoreV1().Pods(own).Get(ctx, "target", metav1.GetOptions{})
			if err != nil {
				return err
			}
			ask := func(ns, account string, audiences ...string) response {
				return s.node.post(ctx, "/api/v1/namespaces/"+ns+"/serviceaccounts/"+account+"/token", &authenticationv1.TokenRequest{
					TypeMeta: metav1.TypeMeta{Kind: "TokenRequest", APIVersion: "authentication.k8s.io/v1"},
					Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, BoundObjectRef: &authenticationv1.BoundObjectReference{
						Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID,
					}},
				})
			}
			return each(refused(ask(own, "default", "vault")), refused(ask(own, "owner")), refused(ask(victim, "default")), refused(ask("kube-system", "default")))
		}},
		{reach, "another node's lease and status", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.node.merge(ctx, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/minion-2", `{"spec":{"holderIdentity":"x"}}`)),
				refused(s.node.merge(ctx, "/api/v1/nodes/minion-2/status", `{"status":{"conditions":null}}`)), refused(s.node.delete(ctx, "/api/v1/nodes/minion-2")),
				refused(s.node.merge(ctx, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler", `{"spec":{"holderIdentity":"x"}}`)))
		}},
		{itself, "labels that isolate nodes", "", func(ctx context.Context, s *fixture) error {
			for _, label := range []string{"node-restriction.kubernetes.io/exam", "node-role.kubernetes.io/control-plane", "kubernetes.io/made-up"} {
				if err := refused(s.node.merge(ctx, "/api/v1/nodes/minion-1", fmt.Sprintf(`{"metadata":{"labels":{%q:"yes"}}}`, label))); err != nil {
					return err
				}
			}
			return nil
		}},
		{itself, "its own taints and its own deletion", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.node.merge(ctx, "/api/v1/nodes/minion-1", `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}`)),
				refused(s.node.delete(ctx, "/api/v1/nodes/minion-1")), refused(s.node.delete(ctx, "/api/v1/nodes")))
		}},
		{itself, "an address that is the API server's or loopback", "", func(ctx context.Context, s *fixture) error {
			for _, address := range []string{addressOf(s.master), "127.0.0.1", "169.254.169.254", addressOfService(ctx, s)} {
				patch := fmt.Sprintf(`{"status":{"addresses":[{"type":"InternalIP","address":%q}]}}`, address)
				if err := refused(s.node.merge(ctx, "/api/v1/nodes/minion-1/status", patch), 403, 422); err != nil {
					return err
				}
			}
			return nil
		}},
		{itself, "a pod's address that is another's", "", func(ctx context.Context, s *fixture) error {
			for _, address := range []string{addressOf(s.master), "127.0.0.1", "169.254.169.254", addressOfService(ctx, s)} {
				patch := fmt.Sprintf(`{"status":{"podIP":%q,"podIPs":[{"ip":%q}]}}`, address, address)
				if err := refused(s.node.merge(ctx, "/api/v1/namespaces/"+own+"/pods/target/status", patch), 403, 422); err != nil {
					return err
				}
			}
			return nil
		}},
		{itself, "exec by its own credential", "CVE-2020-8559", func(ctx context.Context, s *fixture) error {
			return each(refused(s.node.upgrade(ctx, other+"/exec?command=id&stdout=1")), refused(s.node.get(ctx, "/api/v1/nodes/minion-2/proxy/pods")),
				refused(s.node.get(ctx, other+"/log")))
		}},
	}
}

func (s *fixture) labelled(ctx context.Context, path, label string) error {
	if r := s.admin.get(ctx, path); strings.Contains(r.body, `"`+label+`":"other"`) {
		return fmt.Errorf("the label is there: %v", r)
	}
	return nil
}

func addressOf(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// addressOfService is the service address of the API server.
func addressOfService(ctx context.Context, s *fixture) string {
	svc, err := s.cluster.client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return svc.Spec.ClusterIP
}

// csr asks for a certificate.
func csr(signer, user, group string, names []string, addresses ...string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: user, Organization: []string{group}}, DNSNames: names}
	for _, a := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return "", err
	}
	usage := certificatesv1.UsageClientAuth
	if signer == certificatesv1.KubeletServingSignerName {
		usage = certificatesv1.UsageServerAuth
	}
	return encoded(&certificatesv1.CertificateSigningRequest{
		TypeMeta:   metav1.TypeMeta{Kind: "CertificateSigningRequest", APIVersion: "certificates.k8s.io/v1"},
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attack-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: signer,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage},
		},
	}), nil
}

const requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

// signed is an error when the answer to a request holds a certificate.
func (c *caller) signed(ctx context.Context, signer, user, group string, names []string, addresses ...string) error {
	body, err := csr(signer, user, group, names, addresses...)
	if err != nil {
		return err
	}
	r := c.post(ctx, requests, body)
	if r.err != nil {
		return r.err
	}
	if strings.Contains(r.body, `"certificate":"`) {
		return fmt.Errorf("a certificate for %s, names %v, addresses %v was signed: %v", user, names, addresses, r)
	}
	return nil
}

// joiner is a caller with a new join token.
func (s *fixture) joiner(ctx context.Context) (*caller, error) {
	cmd := exec.CommandContext(ctx, s.cluster.program, "token", "--kubeconfig", s.cluster.kubeconfig)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("wheelhouse token: %w: %s", err, errs.String())
	}
	_, rest, _ := strings.Cut(out.String(), "--token ")
	token, _, _ := strings.Cut(rest, " ")
	if token == "" {
		return nil, fmt.Errorf("no token in %q", out.String())
	}
	c := *s.anonymous
	c.name, c.token = "holder of a join token", token
	return &c, nil
}

// joinAttacks ask for certificates that are somebody else's.
func joinAttacks() []attack {
	const kind = "a certificate for somebody else"
	client, serving := certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	joining := func(try func(context.Context, *fixture, *caller) error) func(context.Context, *fixture) error {
		return func(ctx context.Context, s *fixture) error {
			j, err := s.joiner(ctx)
			if err != nil {
				return err
			}
			return try(ctx, s, j)
		}
	}
	return []attack{
		{kind, "serve under the API server's address", "", func(ctx context.Context, s *fixture) error {
			for _, address := range []string{addressOf(s.master), addressOfService(ctx, s), "127.0.0.1", "::1", "8.8.8.8", "10.247.0.10", "0.0.0.0"} {
				if err := s.node.signed(ctx, serving, "system:node:minion-1", "system:nodes", []string{"minion-1"}, addressOf(s.minion), address); err != nil {
					return err
				}
			}
			return nil
		}},
		{kind, "serve under the API server's names", "", func(ctx context.Context, s *fixture) error {
			for _, name := range []string{"kubernetes", "kubernetes.default.svc", "localhost", "master", "minion-2", "*.svc"} {
				if err := s.node.signed(ctx, serving, "system:node:minion-1", "system:nodes", []string{name}, addressOf(s.minion)); err != nil {
					return err
				}
			}
			return nil
		}},
		{kind, "a node called as the API server", "", joining(func(ctx context.Context, _ *fixture, j *caller) error {
			for _, name := range []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", "LOCALHOST"} {
				if err := j.signed(ctx, client, "system:node:"+name, "system:nodes", nil); err != nil {
					return err
				}
			}
			return nil
		})},
		{kind, "a join token for a node that exists", "", joining(func(ctx context.Context, _ *fixture, j *caller) error {
			return each(j.signed(ctx, client, "system:node:minion-1", "system:nodes", nil), j.signed(ctx, client, "system:node:master", "system:nodes", nil))
		})},
		{kind, "a join token for an administrator", "", joining(func(ctx context.Context, _ *fixture, j *caller) error {
			return each(j.signed(ctx, client, "admin", "system:masters", nil), j.signed(ctx, client, "system:node:new", "system:masters", nil),
				j.signed(ctx, certificatesv1.KubeAPIServerClientSignerName, "admin", "system:masters", nil), j.signed(ctx, serving, "system:node:new", "system:nodes", []string{"new"}))
		})},
		{kind, "a join token used twice", "", joining(func(ctx context.Context, _ *fixture, j *caller) error {
			body, err := csr(client, "system:node:attack-once", "system:nodes", nil)
			if err != nil {
				return err
			}
			if r := j.post(ctx, requests, body); !strings.Contains(r.body, `"certificate":"`) {
				return fmt.Errorf("the first use must be signed: %v", r)
			}
			return j.signed(ctx, client, "system:node:attack-twice", "system:nodes", nil)
		})},
		{kind, "what else a join token reads", "", joining(func(ctx context.Context, _ *fixture, j *caller) error {
			return each(refused(j.get(ctx, "/api/v1/secrets")), refused(j.get(ctx, "/api/v1/nodes")), refused(j.get(ctx, "/api/v1/namespaces/kube-system/secrets")),
				refused(j.post(ctx, "/api/v1/namespaces/"+victim+"/pods", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"busybox"}]}}`)))
		})},
		{kind, "a node for another node", "", func(ctx context.Context, s *fixture) error {
			return each(s.node.signed(ctx, client, "system:node:minion-2", "system:nodes", nil), s.node.signed(ctx, client, "system:node:minion-1", "system:masters", nil),
				s.node.signed(ctx, serving, "system:node:minion-2", "system:nodes", []string{"minion-2"}, addressOf(s.minion)),
				refused(s.node.post(ctx, "/api/v1/nodes", `{"kind":"Node","apiVersion":"v1","metadata":{"name":"kubernetes.default.svc"}}`), 403, 422))
		}},
		{kind, "a user for a node", "", func(ctx context.Context, s *fixture) error {
			return each(s.rbacEditor.signed(ctx, client, "system:node:minion-1", "system:nodes", nil), s.owner.signed(ctx, client, "system:node:minion-1", "system:nodes", nil),
				s.rbacEditor.signed(ctx, serving, "system:node:minion-1", "system:nodes", []string{"minion-1"}, addressOf(s.minion)))
		}},
		{kind, "guess a join token", "", func(ctx context.Context, s *fixture) error {
			guess := *s.anonymous
			guess.name = "guesser"
			for i := range 20 {
				guess.token = fmt.Sprintf("abcdef.%016d", i)
				if err := refused(guess.get(ctx, "/api/v1/nodes"), 401, 429); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}
