package kubectl

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubectl/pkg/cmd/util"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/openapi"
)

// terminal runs kubectl against a server without controllers.
type terminal struct{ kubeconfig, manifest string }

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.OpenAPI = openapi.Handler
	})
	return terminalFor(t, cfg)
}

// terminalFor is kubectl for one user of a server.
func terminalFor(t *testing.T, cfg *rest.Config) *terminal {
	t.Helper()
	token := cmp.Or(cfg.BearerToken, "any")
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: cfg.Host, CertificateAuthorityData: cfg.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u", Namespace: "default"}},
		CurrentContext: "c",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir()) // for what kubectl keeps of discovery
	return &terminal{kubeconfig: file, manifest: filepath.Join(t.TempDir(), "manifest.yaml")}
}

// run types a command line in which FILE is the manifest; the answer is all that it
// prints, and why it failed.
func (k *terminal) run(t *testing.T, manifest, line string) (out string) {
	t.Helper()
	if err := os.WriteFile(k.manifest, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	line = strings.ReplaceAll(line, "FILE", k.manifest)
	var buf bytes.Buffer
	args := append([]string{"--kubeconfig=" + k.kubeconfig}, strings.Fields(line)...)
	os.Args = append([]string{"kubectl"}, args...)
	c := build(args, today, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &buf, ErrOut: &buf})
	util.BehaviorOnFatal(func(message string, _ int) { panic(errors.New(message)) })
	defer util.DefaultBehaviorOnFatal()
	defer func() {
		if p := recover(); p != nil {
			err, ok := p.(error)
			if !ok {
				panic(p)
			}
			out = buf.String() + err.Error()
		}
	}()
	if err := c.Execute(); err != nil {
		fmt.Fprintln(&buf, err)
	}
	return buf.String()
}

// A manifest of 2016 and 2017 with every kind of that time.
const manifest2016 = `
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: nginx}
spec:
  template:
    metadata: {labels: {run: nginx}}
    spec: {containers: [{name: nginx, image: "nginx:1.7.9"}]}
---
apiVersion: extensions/v1beta1
kind: ReplicaSet
metadata: {name: kuard}
spec:
  selector:
    matchExpressions: [{key: app, operator: In, values: [kuard]}]
  template:
    metadata: {labels: {app: kuard}}
    spec: {containers: [{name: kuard, image: "kuard:2"}]}
---
apiVersion: extensions/v1beta1
kind: DaemonSet
metadata: {name: logs}
spec:
  template:
    metadata: {labels: {app: logs}}
    spec: {containers: [{name: logs, image: "fluentd:1"}]}
---
apiVersion: apps/v1beta1
kind: StatefulSet
metadata: {name: pets}
spec:
  serviceName: pets
  template:
    metadata: {labels: {app: pets}}
    spec: {containers: [{name: pet, image: "pet:1"}]}
---
apiVersion: batch/v1beta1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "@daily"
  jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: "busybox:1"}]}}}}
---
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {name: budget}
spec: {minAvailable: 1, selector: {matchLabels: {run: nginx}}}
---
apiVersion: extensions/v1beta1
kind: Ingress
metadata: {name: front}
spec: {backend: {serviceName: web, servicePort: 80}}
`

// Today's kubectl, unmodified, with a manifest of that time.
func TestManifestOf2016(t *testing.T) {
	k := newTerminal(t)
	for _, c := range []struct{ line, want string }{
		{"apply -f FILE", "Warning: extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment"},
		{"apply -f FILE", "deployment.extensions/nginx unchanged\n"},
		{"diff -f FILE", ""},
		{"apply --server-side -f FILE", "statefulset.apps/pets serverside-applied"},
		{"get -f FILE", "cronjob.batch/tick   @daily"},
		{"get deployments.v1beta1.extensions", "nginx   0/1     0            0"},
		{"get deployments.v1beta1.extensions -o name", "deployment.extensions/nginx"},
		{"get ingresses.v1beta1.extensions front -o yaml", "serviceName: web"},
		{"get ing front -o yaml", "  defaultBackend:\n    service:\n      name: web\n      port:\n        number: 80\n"},
		{"describe deployments.v1beta1.extensions nginx", "Revision History Limit:     2147483647"},
		{"scale --replicas=3 deployments.v1beta1.extensions/nginx", "deployment.extensions/nginx scaled"},
		{"get deploy nginx --subresource=scale", "nginx   3         0"},
		{"set image deployments.v1beta1.extensions/nginx nginx=nginx:1.9.1", "deployment.extensions/nginx image updated"},
		{"expose deployments.v1beta1.extensions/nginx --port=80 --dry-run=client -o yaml", "selector:\n    run: nginx"},
		{"rollout history deployments.v1beta1.extensions/nginx", "deployment.extensions/nginx"},
		{"rollout pause deployments.v1beta1.extensions/nginx", "deployment.extensions/nginx paused"},
		{"rollout resume deployments.v1beta1.extensions/nginx", "deployment.extensions/nginx resumed"},
		{"rollout restart deployments.v1beta1.extensions/nginx", "deployment.extensions/nginx restarted"},
		{"rollout status deployments.v1beta1.extensions/nginx --timeout=1s", "Waiting for deployment"},
		{"autoscale deployments.v1beta1.extensions/nginx --max=5 --dry-run=client -o yaml", "apiVersion: extensions/v1beta1\n    kind: Deployment\n    name: nginx"},
		{"label ds logs tier=back", "daemonset.apps/logs labeled"},
		{"explain deployment.spec.rollbackTo --api-version=extensions/v1beta1", "FIELD: rollbackTo <RollbackConfig>"},
		{"replace --force -f FILE", "poddisruptionbudget.policy/budget replaced"},
		{"get all", "statefulset.apps/pets"},
		{"delete -f FILE", `ingress.extensions "front" deleted`},
		{"get all,pdb,ing", "No resources found"},
	} {
		out := k.run(t, manifest2016, c.line)
		if !strings.Contains(out, c.want) {
			t.Errorf("kubectl %s\n%s\nwant %s", c.line, out, c.want)
		}
	}
}

// What one types today about the workloads. Without controllers nothing comes of it, so
// the answers are the API server's alone.
func TestWorkloadCommands(t *testing.T) {
	k := newTerminal(t)
	for _, c := range []struct{ line, want string }{
		{"create deployment web --image=nginx --replicas=2 --port=80", "deployment.apps/web created"},
		{"create job hello --image=busybox -- echo hi", "job.batch/hello created"},
		{"create cronjob tick --image=busybox --schedule=@hourly -- date", "cronjob.batch/tick created"},
		{"create job by-hand --from=cronjob/tick", "job.batch/by-hand created"},
		{"create pdb most --selector=app=web --min-available=50%", "poddisruptionbudget.policy/most created"},
		{"create ingress simple --rule=foo.com/bar=svc1:8080,tls=my-cert --class=nginx", "ingress.networking.k8s.io/simple created"},
		{"create quota few --hard=pods=10,count/deployments.apps=5", "resourcequota/few created"},
		{"create deployment Web --image=nginx", `metadata.name: Invalid value: "Web"`},
		{"create cronjob bad --image=busybox --schedule=often", `spec.schedule: Invalid value: "often": expected exactly 5 fields, found 1: [often]`},
		{"autoscale deployment web --min=2 --max=5 --cpu=50%", "horizontalpodautoscaler.autoscaling/web autoscaled"},
		{"get hpa", "web    Deployment/web   cpu: <unknown>/50%   2         5         0"},
		{"get horizontalpodautoscalers.v1.autoscaling web -o jsonpath={.apiVersion}={.spec.targetCPUUtilizationPercentage}", "autoscaling/v1=50"},
		{"get deploy -o wide", "web    0/2     0            0           "},
		{"get deploy -o wide", "nginx        nginx    app=web"},
		{"get jobs -o wide", "batch.kubernetes.io/controller-uid="},
		{"get cj", "tick   @hourly    <none>     False     0        <none>"},
		{"get pdb", "most   50%             N/A               0"},
		{"get ing", "simple   nginx   foo.com             80, 443"},
		{"set resources deploy/web --limits=cpu=200m,memory=64Mi", "deployment.apps/web resource requirements updated"},
		{"set env deploy/web A=b", "deployment.apps/web env updated"},
		{"set serviceaccount deploy/web default", "deployment.apps/web serviceaccount updated"},
		{"set image cronjob/tick tick=busybox:2", "cronjob.batch/tick image updated"},
		{"annotate deploy web note=hi", "deployment.apps/web annotated"},
		{"rollout restart deploy/web", "deployment.apps/web restarted"},
		{"rollout pause deploy/web", "deployment.apps/web paused"},
		{"rollout resume deploy/web", "deployment.apps/web resumed"},
		{"expose deploy web --port=80 --dry-run=client", "service/web exposed"},
		{"patch job hello --type=merge -p {\"spec\":{\"completions\":5}}", "spec.completions: Invalid value: 5: field is immutable"},
		{"patch job hello --type=merge -p {\"spec\":{\"suspend\":true}}", "job.batch/hello patched"},
		{"patch deploy web --subresource=scale --type=merge -p {\"spec\":{\"replicas\":4}}", "scale.autoscaling/web patched"},
		{"wait --for=jsonpath={.spec.replicas}=4 deploy/web --timeout=10s", "deployment.apps/web condition met"},
		{"describe deploy web", "RollingUpdateStrategy:  25% max unavailable, 25% max surge"},
		{"describe job hello", "Completion Mode:  NonIndexed"},
		{"describe cronjob tick", "Concurrency Policy:            Allow"},
		{"describe pdb most", "Min available:  50%"},
		{"describe hpa web", "resource cpu on pods  (as a percentage of request):  <unknown> / 50%"},
		{"describe ing simple", "my-cert terminates foo.com"},
		{"explain hpa.spec --api-version=autoscaling/v1", "targetCPUUtilizationPercentage"},
		{"explain deployment.spec.strategy.type", "ENUM:\n    Recreate\n    RollingUpdate"},
		{"get replicasets.v1beta1.extensions", "No resources found"},
		{"get deploy --field-selector=status.phase=x", `"status.phase" is not a known field selector: only "metadata.name", "metadata.namespace"`},
		{"get jobs --field-selector=status.successful=0 -o name", "job.batch/by-hand"},
		{"delete deploy,job,cj,pdb,ing,hpa --all", `horizontalpodautoscaler.autoscaling "web" deleted`},
	} {
		if out := k.run(t, "", c.line); !strings.Contains(out, c.want) {
			t.Errorf("kubectl %s\n%s\nwant %s", c.line, out, c.want)
		}
	}
}

// What is applied together and no longer named goes, in each way that kubectl has for it.
func TestPrune(t *testing.T) {
	const one = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick, labels: {set: p}}
spec: {schedule: "@hourly", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: x, image: busybox}]}}}}}
`
	const two = one + `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {set: p}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: nginx, image: nginx}]}
`
	for name, flags := range map[string]string{"labels": "--prune -l set=p", "applyset": "-n default --prune --applyset=mine"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECTL_APPLYSET", "true")
			k := newTerminal(t)
			if out := k.run(t, two, "apply -f FILE "+flags); !strings.Contains(out, "deployment.apps/web created") {
				t.Errorf("first: %s", out)
			}
			if out := k.run(t, one, "apply -f FILE "+flags); !strings.Contains(out, "deployment.apps/web pruned") {
				t.Errorf("second: %s", out)
			}
			if out := k.run(t, "", "get deploy,cj -o name"); out != "cronjob.batch/tick\n" {
				t.Errorf("left: %s", out)
			}
		})
	}
}
