package features_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cucumber/godog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/steps"
)

// platform is the world of a scenario about the platform itself: the labs' steps, and those
// that need the machine.
type platform struct {
	*steps.World
	cluster *testCluster
	noted   map[string]string // pod -> its containers' ids and starts
	load    *load             // clients that ask without rest
	class   *classroom        // that is served
}

func (p *platform) register(sc *godog.ScenarioContext) {
	sc.Step("^on node \"([^\"]+)\" `([^`]+)` prints \"([^\"]*)\"$", p.onNode)
	sc.Step(`^the server is killed while (\d+) objects are created, and started again$`, p.killDuringCreates)
	sc.Step(`^the server is killed$`, func(ctx context.Context) error { return p.kill(ctx, "server") })
	sc.Step(`^the node process of "([^"]+)" is killed$`, func(ctx context.Context, node string) error { return p.kill(ctx, "node/"+node) })
	sc.Step(`^the cluster is brought up again$`, p.up)
	sc.Step(`^the containers of pod "([^"]+)" are noted$`, p.note)
	sc.Step(`^pod "([^"]+)" has the same containers, none of them restarted$`, p.same)
	sc.Step(`^container "([^"]+)" of pod "([^"]+)" is (killed|removed) behind the kubelet's back$`, p.harm)
	sc.Step(`^node "([^"]+)" becomes not ready$`, p.nodeNotReady)
	sc.Step(`^the Docker Engine is restarted$`, p.restartDocker)
	sc.Step(`^namespace "([^"]+)" is gone$`, p.namespaceGone)
	p.registerSets(sc)
	p.registerLoad(sc)
	p.registerIngress(sc)
	p.registerResources(sc)
	p.registerScheduling(sc)
	p.registerHostile(sc)
	p.registerSnapshots(sc)
	p.registerBalancers(sc)
	p.registerOutside(sc)
	p.registerClass(sc)
}

// until is wait.Until for steps, which see output and errors of commands.
func until(ctx context.Context, limit time.Duration, wanted string, look func() (seen string, ok bool, err error)) error {
	return wait.Until(ctx, limit, wanted, func() error {
		seen, ok, err := look()
		if err != nil {
			return fmt.Errorf("%s, %w", seen, err)
		}
		return wait.Seen(ok, seen)
	})
}

func (p *platform) shell(ctx context.Context, line string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Dir, cmd.Env = p.Dir, p.Env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *platform) onNode(ctx context.Context, node, line, text string) error {
	return until(ctx, p.Patience, fmt.Sprintf("`%s` on %s to print %q", line, node, text), func() (string, bool, error) {
		out, err := p.shell(ctx, fmt.Sprintf("%s ssh --name %s %s -- %s", p.cluster.program, p.cluster.name, node, line))
		return out, strings.Contains(out, text), err
	})
}

func (p *platform) kill(ctx context.Context, id string) error {
	pid, err := p.cluster.pid(ctx, id)
	if err != nil {
		return err
	}
	if pid == 0 {
		return fmt.Errorf("%s is not running", id)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

func (p *platform) up(ctx context.Context) error {
	_, err := p.cluster.run(ctx, "up", "--nodes", "2")
	return err
}

// killDuringCreates keeps the names of what the server acknowledged before, during and
// after it was killed: each must be there.
func (p *platform) killDuringCreates(ctx context.Context, n int) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	acknowledged := map[string]bool{}
	names := make(chan string)
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for name := range names {
				c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
				if _, err := p.cluster.client.CoreV1().ConfigMaps(p.Namespace).Create(ctx, c, metav1.CreateOptions{}); err == nil {
					mu.Lock()
					acknowledged[name] = true
					mu.Unlock()
				}
			}
		}()
	}
	for i := range n {
		if i == n/2 {
			if err := p.kill(ctx, "server"); err != nil {
				return err
			}
			if err := p.up(ctx); err != nil {
				return err
			}
		}
		names <- fmt.Sprintf("ack-%d", i)
	}
	close(names)
	wg.Wait()
	list, err := p.cluster.client.CoreV1().ConfigMaps(p.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		delete(acknowledged, list.Items[i].Name)
	}
	if len(acknowledged) > 0 {
		return fmt.Errorf("%d acknowledged objects are gone, such as %v", len(acknowledged), acknowledged)
	}
	if len(list.Items) < n/2 {
		return fmt.Errorf("only %d of %d objects were made: the server was not killed in the middle", len(list.Items), n)
	}
	return nil
}

func (p *platform) containers(ctx context.Context, name string) (string, error) {
	pod, err := p.cluster.client.CoreV1().Pods(p.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	var out []string
	for _, s := range pod.Status.ContainerStatuses {
		id := strings.TrimPrefix(s.ContainerID, "docker://")
		started, err := exec.CommandContext(ctx, "docker", "inspect", "-f", "{{.State.StartedAt}} {{.State.Running}}", id).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("container %q: %w: %s", id, err, started)
		}
		out = append(out, fmt.Sprintf("%s %s restarts %d", id, strings.TrimSpace(string(started)), s.RestartCount))
	}
	return strings.Join(out, "\n"), nil
}

func (p *platform) note(ctx context.Context, pod string) error {
	seen, err := p.containers(ctx, pod)
	if err != nil {
		return err
	}
	if p.noted == nil {
		p.noted = map[string]string{}
	}
	p.noted[pod] = seen
	return nil
}

func (p *platform) same(ctx context.Context, pod string) error {
	seen, err := p.containers(ctx, pod)
	if err != nil {
		return err
	}
	if seen != p.noted[pod] || seen == "" {
		return fmt.Errorf("pod %s had\n%s\nand has\n%s", pod, p.noted[pod], seen)
	}
	return nil
}

func (p *platform) harm(ctx context.Context, container, pod, what string) error {
	line := fmt.Sprintf("docker ps -q --filter label=wheelhouse.cluster=%s --filter label=io.kubernetes.pod.namespace=%s --filter label=io.kubernetes.pod.name=%s --filter label=io.kubernetes.container.name=%s",
		p.cluster.name, p.Namespace, pod, container)
	id, err := p.shell(ctx, line)
	if id = strings.TrimSpace(id); err != nil || id == "" || strings.Contains(id, "\n") {
		return fmt.Errorf("no one container %s of pod %s: %q, %w", container, pod, id, err)
	}
	verb := "docker kill "
	if what == "removed" {
		verb = "docker rm -f "
	}
	if out, err := p.shell(ctx, verb+id); err != nil {
		return fmt.Errorf("%s: %w: %s", verb, err, out)
	}
	return nil
}

func (p *platform) nodeNotReady(ctx context.Context, name string) error {
	return until(ctx, p.Patience, "node "+name+" not ready", func() (string, bool, error) {
		n, err := p.cluster.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", false, err
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return string(c.Status) + " " + c.Message, c.Status != corev1.ConditionTrue, nil
			}
		}
		return "no Ready condition", false, nil
	})
}

func (p *platform) namespaceGone(ctx context.Context, name string) error {
	return until(ctx, p.Patience, "no namespace "+name, func() (string, bool, error) {
		out, err := p.shell(ctx, "kubectl get namespace --ignore-not-found "+name)
		return out, strings.TrimSpace(out) == "", err
	})
}

// dockerPIDFile is written by cluster/local/setup.sh when it starts the Docker Engine.
const dockerPIDFile = "/run/wheelhouse-dockerd.pid"

// mayNotRestartDocker says why the engine that runs must be left alone: it is not one
// that the set-up started here, or somebody else's containers run on it.
func mayNotRestartDocker(t *testing.T) string {
	t.Helper()
	ours, err := os.ReadFile(dockerPIDFile)
	if err != nil {
		return "the Docker Engine here was not started by cluster/local/setup.sh"
	}
	running, err := os.ReadFile("/var/run/docker.pid")
	if err != nil || strings.TrimSpace(string(ours)) != strings.TrimSpace(string(running)) {
		return "another Docker Engine than the one that cluster/local/setup.sh started runs here"
	}
	out, err := exec.CommandContext(t.Context(), "docker", "ps", "--format", `{{.ID}} {{.Label "wheelhouse.cluster"}}`).Output()
	if err != nil {
		t.Fatalf("docker ps: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if _, cluster, _ := strings.Cut(strings.TrimSpace(line), " "); !strings.HasPrefix(cluster, ownClusters) {
			return "containers run here (of a demo cluster, say) that a restart would end"
		}
	}
	return ""
}

func (p *platform) restartDocker(ctx context.Context) error {
	dockerInUse.Lock()
	defer dockerInUse.Unlock()
	text, err := os.ReadFile(dockerPIDFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("%s: %w", dockerPIDFile, err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	err = until(ctx, time.Minute, "the Docker Engine to end", func() (string, bool, error) {
		err := syscall.Kill(pid, 0)
		return fmt.Sprint(err), err == syscall.ESRCH, nil
	})
	if err != nil {
		return err
	}
	if out, err := p.shell(ctx, p.cluster.program[:len(p.cluster.program)-len("bin/wheelhouse")]+"cluster/local/setup.sh"); err != nil {
		return fmt.Errorf("setup.sh: %w: %s", err, out)
	}
	return nil
}
