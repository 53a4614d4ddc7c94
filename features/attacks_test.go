package features_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// attack is one way in that must stay closed.
type attack struct {
	kind   string // the mistake that it would use
	name   string
	report string // the public report of the same mistake elsewhere, or ""
	// try carries the attack out. Its error says what the attacker got.
	try func(ctx context.Context, s *fixture) error
}

// TestAttacks carries out every attack of the tables against a cluster of two nodes. After
// each, the cluster must still answer its administrator.
func TestAttacks(t *testing.T) {
	attacks := slices.Concat(pathAttacks(), nodeAttacks(), joinAttacks(), rightAttacks(), dialAttacks(),
		addressAttacks(), isolationAttacks(), sizeAttacks(), diskAttacks(), secretAttacks())
	if len(attacks) < 60 {
		t.Fatalf("%d attacks are in the tables; want at least 60", len(attacks))
	}
	if only := regexp.MustCompile(os.Getenv("WHEELHOUSE_TEST_ATTACKS")); only.String() != "" {
		attacks = slices.DeleteFunc(attacks, func(a attack) bool { return !only.MatchString(a.kind + "/" + a.name) })
		t.Logf("%d attacks are called %s; the others are left out", len(attacks), only)
	}
	s := newFixture(t, bringUp(t, "attacks", 2))
	for _, a := range attacks {
		t.Run(strings.ReplaceAll(a.kind, " ", "-")+"/"+strings.ReplaceAll(a.name, " ", "-"), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if err := a.try(ctx, s); err != nil {
				t.Errorf("%s (%s): %v", a.name, a.report, err)
			}
			if r := s.admin.get(ctx, "/readyz"); r.code != http.StatusOK {
				t.Errorf("afterwards the API server is not ready: %v", r)
			}
		})
	}
}

// Namespaces of the fixture.
const (
	own    = "attacker" // where the attackers have rights
	victim = "victim"   // where they have none
)

// fixture is a cluster with a victim and with attackers of different rights.
type fixture struct {
	cluster *testCluster
	server  *rest.Config // the administrator's
	dir     string       // for files of the attacks

	admin      *caller
	owner      *caller // role admin in the namespace own
	editor     *caller // role edit in own
	viewer     *caller // role view in own, and get of exec, attach and portforward
	rbacEditor *caller // may write roles and bindings everywhere, and holds nothing else
	nobody     *caller // the default service account of own
	anonymous  *caller
	node       *caller // the credential of minion-1
	master     *corev1.Node
	minion     *corev1.Node // minion-1
}

func newFixture(t *testing.T, c *testCluster) *fixture {
	t.Helper()
	ctx := t.Context()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s := &fixture{cluster: c, server: config, dir: t.TempDir(), admin: newCaller(t, "administrator", config, "")}
	s.anonymous = newCaller(t, "anonymous", anonymousOf(config), "")
	for _, ns := range []string{own, victim} {
		s.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	node, err := clientcmd.BuildConfigFromFlags("", filepath.Join(filepath.Dir(c.kubeconfig), "minion-1.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	s.node = newCaller(t, "node minion-1", node, "")
	s.owner = s.account(t, config, own, "owner", "admin")
	s.editor = s.account(t, config, own, "editor", "edit")
	s.viewer = s.account(t, config, own, "viewer", "view")
	s.nobody = s.account(t, config, own, "nobody", "")
	s.rbacEditor = s.account(t, config, own, "rbac-editor", "")
	s.grants(t)
	if s.master, err = c.client.CoreV1().Nodes().Get(ctx, "master", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.minion, err = c.client.CoreV1().Nodes().Get(ctx, "minion-1", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"private"} {
		meta := metav1.ObjectMeta{Namespace: victim, Name: name}
		if _, err := c.client.CoreV1().Secrets(victim).Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"key": privateValue}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.client.CoreV1().ConfigMaps(victim).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": privateValue}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s.runPod(t, own, "target", "minion-1")
	s.runPod(t, victim, "target", "minion-2")
	return s
}

// privateValue is what nobody but the victim may read.
const privateValue = "b1f7-only-for-the-victim"

// grants are the rights beyond the default roles.
func (s *fixture) grants(t *testing.T) {
	t.Helper()
	connect := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: own, Name: "connect"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods/exec", "pods/attach", "pods/portforward"}, Verbs: []string{"get"}},
	}}
	roles := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "rbac-editor"}, Rules: []rbacv1.PolicyRule{
		{
			APIGroups: []string{rbacv1.GroupName}, Verbs: []string{"get", "list", "create", "update", "patch", "delete"},
			Resources: []string{"roles", "clusterroles", "rolebindings", "clusterrolebindings"},
		},
		{
			APIGroups: []string{"certificates.k8s.io"}, Verbs: []string{"get", "list", "create", "update", "patch", "delete"},
			Resources: []string{"certificatesigningrequests", "certificatesigningrequests/status", "certificatesigningrequests/approval"},
		},
	}}
	ctx, api := t.Context(), s.cluster.client.RbacV1()
	if _, err := api.Roles(own).Create(ctx, connect, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.ClusterRoles().Create(ctx, roles, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.bind(t, "viewer", rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "connect"})
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "rbac-editor"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "rbac-editor"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: own, Name: "rbac-editor"}},
	}
	if _, err := api.ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// account makes a service account with a role in its namespace, and a caller with its token.
func (s *fixture) account(t *testing.T, config *rest.Config, namespace, name, role string) *caller {
	t.Helper()
	ctx, core := t.Context(), s.cluster.client.CoreV1().ServiceAccounts(namespace)
	if _, err := core.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if role != "" {
		s.bind(t, name, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role})
	}
	token, err := core.CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return newCaller(t, name, anonymousOf(config), token.Status.Token)
}

func (s *fixture) bind(t *testing.T, account string, role rbacv1.RoleRef) {
	t.Helper()
	_, err := s.cluster.client.RbacV1().RoleBindings(own).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account + "-" + role.Name}, RoleRef: role,
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: own, Name: account}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *fixture) mustCreate(t *testing.T, ns *corev1.Namespace) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.cluster.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err := until(ctx, 15*time.Second, "a service account in namespace "+ns.Name, func() (string, bool, error) {
		_, err := s.cluster.client.CoreV1().ServiceAccounts(ns.Name).Get(ctx, "default", metav1.GetOptions{})
		return "", err == nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// runPod starts a pod on a node and waits until it runs.
func (s *fixture) runPod(t *testing.T, namespace, name, node string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: "c", Image: "busybox", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sleep", "100000"},
		}}},
	}
	if _, err := s.cluster.client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.running(t.Context(), namespace, name); err != nil {
		t.Fatal(err)
	}
}

func (s *fixture) running(ctx context.Context, namespace, name string) error {
	return until(ctx, time.Minute, "pod "+name+" to run", func() (string, bool, error) {
		pod, err := s.cluster.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", false, err
		}
		return string(pod.Status.Phase), pod.Status.Phase == corev1.PodRunning, nil
	})
}

// caller sends requests as one user, over HTTP/1.1 so that a connection can be upgraded.
type caller struct {
	name, host, token string
	http              *http.Client
}

// anonymousOf is the way to the same server without a credential.
func anonymousOf(c *rest.Config) *rest.Config { return rest.AnonymousClientConfig(c) }

func newCaller(t *testing.T, name string, c *rest.Config, token string) *caller {
	t.Helper()
	conf, err := rest.TLSConfigFor(c)
	if err != nil {
		t.Fatal(err)
	}
	conf.NextProtos = []string{"http/1.1"}
	transport := &http.Transport{TLSClientConfig: conf, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{name: name, host: strings.TrimSuffix(c.Host, "/"), token: token, http: &http.Client{
		Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// response is what a caller got.
type response struct {
	who, line string
	code      int
	body      string
	header    http.Header
	err       error
}

func (r response) String() string {
	if r.err != nil {
		return fmt.Sprintf("%s as %s: %v", r.line, r.who, r.err)
	}
	body := r.body
	if len(body) > 600 {
		body = body[:600] + "..."
	}
	return fmt.Sprintf("%s as %s: %d %s", r.line, r.who, r.code, body)
}

// send sends one request. The path is sent as it is written. Headers are pairs.
func (c *caller) send(ctx context.Context, method, path, media, body string, headers ...string) response {
	r := response{who: c.name, line: method + " " + path}
	req, err := http.NewRequestWithContext(ctx, method, c.host+path, strings.NewReader(body))
	if err != nil {
		r.err = err
		return r
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		r.err = err
		return r
	}
	defer func() { _ = res.Body.Close() }()
	r.code, r.header = res.StatusCode, res.Header
	if res.StatusCode == http.StatusSwitchingProtocols {
		return r
	}
	var text bytes.Buffer
	_, err = io.Copy(&text, io.LimitReader(res.Body, 8<<20))
	if err != nil && ctx.Err() == nil {
		r.err = err
	}
	r.body = text.String()
	return r
}

func (c *caller) get(ctx context.Context, path string, headers ...string) response {
	return c.send(ctx, http.MethodGet, path, "", "", headers...)
}

func (c *caller) delete(ctx context.Context, path string) response {
	return c.send(ctx, http.MethodDelete, path, "", "")
}

// post sends a JSON body: a string as it is, anything else encoded.
func (c *caller) post(ctx context.Context, path string, body any) response {
	return c.send(ctx, http.MethodPost, path, "application/json", encoded(body))
}

func (c *caller) put(ctx context.Context, path string, body any) response {
	return c.send(ctx, http.MethodPut, path, "application/json", encoded(body))
}

func (c *caller) merge(ctx context.Context, path, patch string) response {
	return c.send(ctx, http.MethodPatch, path, "application/merge-patch+json", patch)
}

// upgrade asks for a web socket.
func (c *caller) upgrade(ctx context.Context, path string) response {
	return c.get(ctx, path, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13",
		"Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Protocol", "v5.channel.k8s.io")
}

func encoded(body any) string {
	if text, ok := body.(string); ok {
		return text
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// refused is nil when r has one of the codes; 403 and 404 when none is given.
func refused(r response, codes ...int) error {
	if len(codes) == 0 {
		codes = []int{http.StatusForbidden, http.StatusNotFound}
	}
	if r.err != nil {
		return r.err
	}
	if strings.Contains(r.body, privateValue) {
		return fmt.Errorf("the victim's data was read: %v", r)
	}
	if !slices.Contains(codes, r.code) {
		return fmt.Errorf("want one of %v, got %v", codes, r)
	}
	return nil
}

// each is the first error of several attempts.
func each(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// unchanged is an error when do changes what an attacker could want to change of the
// object at path.
func (s *fixture) unchanged(ctx context.Context, path string, do func() error) error {
	before := s.admin.get(ctx, path)
	if before.code != http.StatusOK {
		return fmt.Errorf("reading what is attacked: %v", before)
	}
	if err := do(); err != nil {
		return err
	}
	after := s.admin.get(ctx, path)
	if was, is := attacked(before.body), attacked(after.body); was != is {
		return fmt.Errorf("%s was %s and is %s", path, was, is)
	}
	return nil
}

// attacked is an object without what its controllers change meanwhile.
func attacked(object string) string {
	var o struct {
		Metadata struct {
			UID               string            `json:"uid"`
			DeletionTimestamp string            `json:"deletionTimestamp"`
			Labels            map[string]string `json:"labels"`
		} `json:"metadata"`
		Spec struct {
			NodeName string `json:"nodeName"`
		} `json:"spec"`
		Status struct {
			Phase string `json:"phase"`
			PodIP string `json:"podIP"`
		} `json:"status"`
	}
	if err := json.Unmarshal([]byte(object), &o); err != nil {
		return "unreadable: " + err.Error()
	}
	return fmt.Sprintf("%+v", o)
}
