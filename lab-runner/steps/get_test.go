//go:build !quick

package steps

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/objects"
)

const gotten = `{apiVersion: v1, kind: List, items: [
{apiVersion: v1, kind: Namespace, metadata: {name: lab}},
{apiVersion: v1, kind: Namespace, metadata: {name: other}},
{apiVersion: v1, kind: ConfigMap, metadata: {name: page, namespace: lab, labels: {app: web}}, data: {colour: blue, size: "3"}},
{apiVersion: v1, kind: ConfigMap, metadata: {name: note, namespace: other}, data: {text: "two words"}},
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: lab, labels: {app: web}}, spec: {containers: [{name: c, image: i}, {name: d, image: j}]}},
{apiVersion: v1, kind: Pod, metadata: {name: a-pod-with-a-long-name, namespace: lab, labels: {app: web}}, spec: {nodeName: node-1, containers: [{name: c, image: i}]}},
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: lab}, spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}]}},
{apiVersion: v1, kind: PersistentVolume, metadata: {name: disk}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /data}}},
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: lab, annotations: {why: "a b"}}, spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}},
{apiVersion: batch/v1, kind: Job, metadata: {name: sum, namespace: lab}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}
]}`

// lines are answered as kubectl does.
var lines = []string{
	"kubectl get pods", "kubectl get pod -o wide", "kubectl get pod web-1", "kubectl get pods/web-1 --no-headers", "kubectl get po -l app=web -o name",
	"kubectl get pods -l app=other", "kubectl get pods -l 'app in (web, none)'", "kubectl get pods --field-selector status.phase=Pending -o name",
	"kubectl get pods -l app=web -o name --field-selector spec.nodeName=$NODE", "kubectl get pod missing", "kubectl get pod -o jsonpath={.items[*].metadata.name}",
	"kubectl get pods -o jsonpath={.items[1].spec.containers[0].image}", "kubectl get pods -l app=other -o name", "kubectl get svc", "kubectl get service web -o name",
	"kubectl get deployment web -o jsonpath={.spec.replicas},{.status.updatedReplicas},{.metadata.generation}", `kubectl get deploy web -o jsonpath="{.spec.template.spec.containers[*].name}"`,
	"kubectl get deployment web -o go-template='{{index .metadata.annotations \"why\"}}'", "kubectl get deployments -o wide", "kubectl get deployment -o name",
	"kubectl get configmap page -o jsonpath={.data.colour} -n lab", "kubectl get cm --namespace=other", "kubectl get configmap note -n other -o go-template={{.data.text}}",
	"kubectl get cm page -o go-template={{.data.missing}}", "kubectl get cm page -o jsonpath={.data}", "kubectl get job sum -o wide", "kubectl get jobs -o name",
	"kubectl get pv", "kubectl get namespaces", "kubectl get namespace $NAMESPACE -o jsonpath={.metadata.name}", "kubectl get nodes", "kubectl get secret missing -o name",
	"kubectl get hpa", "kubectl get   quota",
}

// kubectls are not answered here: the shell or kubectl does more with them.
var kubectls = []string{
	"kubectl get pods | wc -l", "kubectl get pods; true", "kubectl get pod $(echo web-1)", "kubectl get pod web-1 a-pod-with-a-long-name", "kubectl get pods,services",
	"kubectl get pods --watch", "kubectl get pods -A", "kubectl get pods -o yaml", "kubectl get pod $OTHER", "kubectl --namespace other get pods", "kubectl get gadgets",
	"kubectl get pods >file", "kubectl get pods -o jsonpath='{.items[9].metadata.name}'", "kubectl get pods -o jsonpath={a,b}", "kubectl get pod 'it''s' \"a\\\"b\"",
	"kubectl get pods -l", "kubectl get", "kubectl describe pod web-1", "kubectl get pods -l 'app in", "kubectl get all", "kubectl get pods 2>/dev/null",
}

// age changes while kubectl starts.
var age = regexp.MustCompile(`\b(?:([0-9]+[mh])?[0-9]+s|[1-9][0-9]?m)\b *`)

// What is answered here is what kubectl prints, of every form that a check uses.
func TestGetIsKubectls(t *testing.T) {
	t.Parallel()
	config := apitest.Start(t)
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u", Namespace: "lab"}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: "any"}},
		CurrentContext: "c",
	}, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs("../../bin/kubectl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: 'make build' makes it", err)
	}
	client, err := objects.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{
		Client: client, Namespace: "lab", Dir: dir, Slow: 1,
		Env: []string{"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "HOME=" + dir, "KUBECONFIG=" + kubeconfig, "NAMESPACE=lab", "NODE=node-1"},
	}
	create := exec.CommandContext(t.Context(), program, "create", "--validate=false", "-f", "-")
	create.Env, create.Stdin = w.Env, strings.NewReader(gotten)
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range lines {
		out, status, ok := w.kubectlGet(t.Context(), line)
		if !ok {
			t.Errorf("%s is not answered", line)
			continue
		}
		want, wanted, err := w.command(t.Context(), line)
		if err != nil {
			t.Fatal(err)
		}
		if age.ReplaceAllString(out, "AGE ") != age.ReplaceAllString(want, "AGE ") || status != wanted {
			t.Errorf("%s:\n%s(exit status %d)\nkubectl:\n%s(exit status %d)", line, out, status, want, wanted)
		}
	}
	for _, line := range kubectls {
		if out, status, ok := w.kubectlGet(t.Context(), line); ok {
			t.Errorf("%s is answered with status %d: %s", line, status, out)
		}
	}
}

// plainGet are the lines of labs that need neither a shell nor more than one answer of the API.
var plainGet = regexp.MustCompile("^`(kubectl get [^|&;<>(`]*)` ")

// The checks of all labs that only get objects are answered without kubectl.
func TestChecksThatGetAreAnsweredHere(t *testing.T) {
	t.Parallel()
	labs, err := catalog.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	kubectls := []string{ // two objects, an old flag, a version by name
		"kubectl get pvc home-pet-0 home-pet-1 -o jsonpath='{.items[*].status.phase}'", "kubectl get rs.v1.apps node-js-rs -o jsonpath={.apiVersion}",
	}
	answered := 0
	for _, lab := range labs {
		for _, s := range lab.Scenarios {
			for _, sentence := range s.Steps {
				m := plainGet.FindStringSubmatch(sentence.Text)
				if m == nil || slices.Contains(kubectls, m[1]) || strings.Contains(m[1], " -o template -t ") {
					continue
				}
				if _, err := parseGet(m[1], "lab", []string{"NAMESPACE=lab", "NODE=n"}); err != nil {
					t.Errorf("%s: %s: %v", lab.ID(), m[1], err)
				}
				answered++
			}
		}
	}
	if answered < 50 {
		t.Errorf("%d checks only get objects", answered)
	}
}
