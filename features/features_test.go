// Package features_test runs all features on clusters of its own: the labs through the lab
// runner as people run it, and what the platform promises with its own steps beside the
// labs'. It needs root, Docker, the images (`make images`) and bin/wheelhouse
// (`make build`), and leaves nothing behind.
package features_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cucumber/godog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/objects"
	"wheelhouse/lab-runner/steps"
)

// testCluster is one that wheelhouse up made for these tests.
type testCluster struct {
	name       string
	program    string // bin/wheelhouse
	kubeconfig string
	client     kubernetes.Interface
	objects    *objects.Client // for the steps
}

func (c *testCluster) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.program, append(args, "--name", c.name)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("wheelhouse %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// bringUp makes a cluster, with further flags of up, that is gone when the test ends.
func bringUp(t testing.TB, name string, nodes int, more ...string) *testCluster {
	t.Helper()
	path := os.Getenv("WHEELHOUSE_TEST_PROGRAM")
	if path == "" {
		path = "../bin/wheelhouse"
	}
	program, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: 'make build' makes it", err)
	}
	if os.Geteuid() != 0 {
		t.Fatal("a local cluster needs root")
	}
	c := &testCluster{name: ownClusters + name, program: program}
	c.removeLeftOvers(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if t.Failed() && os.Getenv("WHEELHOUSE_TEST_KEEP") != "" {
			t.Logf("the cluster %s is kept", c.name)
			return
		}
		if _, err := c.run(ctx, "down"); err != nil {
			t.Error(err)
		}
	})
	// Isolated, which every later up keeps: what scenarios ask for reaches no network of the machine.
	if _, err := c.run(t.Context(), append([]string{"up", "--isolated", "--nodes", fmt.Sprint(nodes)}, more...)...); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := c.run(t.Context(), "kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	c.kubeconfig = strings.TrimSpace(kubeconfig)
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if c.objects, err = objects.New(config); err != nil {
		t.Fatal(err)
	}
	return c
}

// ownClusters is what the names of this process's clusters begin with.
var ownClusters = fmt.Sprintf("test%d-", os.Getpid())

var leftOvers sync.Mutex // they are removed once, though tests run in parallel

// removeLeftOvers takes down the clusters of test processes that ended without doing so.
func (c *testCluster) removeLeftOvers(t testing.TB) {
	t.Helper()
	leftOvers.Lock()
	defer leftOvers.Unlock()
	states, err := filepath.Glob("/var/lib/wheelhouse/test[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states {
		old := testCluster{name: filepath.Base(state), program: c.program}
		pid, _, _ := strings.Cut(strings.TrimPrefix(old.name, "test"), "-")
		if _, err := os.Stat("/proc/" + pid); err == nil {
			continue
		}
		if _, err := old.run(t.Context(), "down"); err != nil {
			t.Fatal(err)
		}
	}
}

// status is what `wheelhouse status --output json` tells.
type status struct {
	Processes []struct {
		ID    string `json:"id"`
		PID   int    `json:"pid"`
		State string `json:"state"`
	} `json:"processes"`
}

func (c *testCluster) pid(ctx context.Context, id string) (int, error) {
	// What is down makes status end with an error, and is what some callers look for.
	out, err := exec.CommandContext(ctx, c.program, "status", "--output", "json", "--name", c.name).Output()
	var s status
	if jsonErr := json.Unmarshal(out, &s); jsonErr != nil {
		return 0, fmt.Errorf("wheelhouse status: %w, %w: %s", err, jsonErr, out)
	}
	for _, p := range s.Processes {
		if p.ID == id {
			return p.PID, nil
		}
	}
	return 0, fmt.Errorf("wheelhouse status names no process %s: %s", id, out)
}

// dockerInUse is held while a test runs that the end of the Docker Engine would disturb.
var dockerInUse sync.RWMutex

// lanes is how many clusters share the files of platform/. The last takes part when the labs are done. With one more, two
// processors had no idle time beside the labs, and scenarios exceeded their limits.
const lanes = 2

// TestPlatform runs the scenarios of platform/. Each cluster takes the next file when it is
// done with one, the longest first; what is tagged @alone follows when they all are done.
func TestPlatform(t *testing.T) {
	t.Parallel()
	s := newPlatformSuite(t)
	clusters := make([]*testCluster, min(lanes, len(s.paths)))
	if s.tags == "@alone" {
		clusters = clusters[:1]
	}
	for i := range clusters {
		clusters[i] = bringUp(t, fmt.Sprintf("platform-%d", i+1), 2)
	}
	queue := make(chan string, len(s.paths))
	var wg sync.WaitGroup
	for i, c := range clusters {
		wg.Go(func() {
			if i == lanes-1 {
				labsRun.Lock()
				defer labsRun.Unlock()
			}
			for path := range queue {
				s.run(t, c, path, "~@alone")
			}
		})
	}
	if s.tags != "@alone" {
		for _, path := range s.paths {
			queue <- path
		}
	}
	close(queue)
	wg.Wait()
	for _, path := range s.paths {
		if s.alone[path] {
			s.run(t, clusters[0], path, "@alone")
		}
	}
	if s.ran.Load() == 0 {
		t.Error("no scenario was run")
	}
}

// platformSuite is what all files of platform/ are run with.
type platformSuite struct {
	paths    []string        // the longest file first: a scenario tagged @long takes as long as ten others
	alone    map[string]bool // has a scenario tagged @alone
	tags     string
	patience time.Duration
	ran      atomic.Int32 // scenarios, which gives each its namespace
	output   sync.Mutex   // a file's steps are printed together
}

func newPlatformSuite(t *testing.T) *platformSuite {
	t.Helper()
	pattern := "platform/*.feature"
	if some := os.Getenv("WHEELHOUSE_TEST_FEATURES"); some != "" {
		pattern = some
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no feature is called %s", pattern)
	}
	scenarios, alone := map[string]int{}, map[string]bool{}
	for _, path := range paths {
		found, err := catalog.Scenarios(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range found {
			scenarios[path]++
			if slices.Contains(s.Tags, "long") {
				scenarios[path] += 10
			}
		}
		alone[path] = slices.ContainsFunc(found, func(s catalog.Scenario) bool { return slices.Contains(s.Tags, "alone") })
	}
	slices.SortStableFunc(paths, func(a, b string) int { return scenarios[b] - scenarios[a] })
	s := &platformSuite{paths: paths, alone: alone, patience: 3 * time.Minute, tags: os.Getenv("WHEELHOUSE_TEST_TAGS")}
	if s.tags != "" {
		t.Log("scenarios are left out that do not match " + s.tags)
	}
	if why := mayNotRestartDocker(t); why != "" {
		t.Log("scenarios tagged @dockerd are left out: " + why)
		s.tags = and(s.tags, "~@dockerd")
	}
	if _, err := exec.LookPath("ping"); err != nil {
		t.Log("scenarios tagged @ping are left out: this machine has no ping")
		s.tags = and(s.tags, "~@ping")
	}
	if given, err := time.ParseDuration(os.Getenv("WHEELHOUSE_TEST_PATIENCE")); err == nil {
		s.patience = given
	}
	return s
}

// and is the tag expression that demands both.
func and(tags, more string) string {
	return strings.TrimPrefix(tags+" && "+more, " && ")
}

// run runs the scenarios of one file that match the suite's tags and these.
func (s *platformSuite) run(t *testing.T, c *testCluster, path, tags string) {
	t.Helper()
	t.Run(strings.TrimSuffix(filepath.Base(path), ".feature"), func(t *testing.T) {
		var printed bytes.Buffer
		suite := godog.TestSuite{
			Name:                "platform",
			ScenarioInitializer: func(sc *godog.ScenarioContext) { s.initialize(t, sc, c) },
			Options: &godog.Options{
				Format: "pretty", NoColors: true, Strict: true, Paths: []string{path}, Tags: and(s.tags, tags),
				Output: &printed, TestingT: t, DefaultContext: t.Context(),
			},
		}
		if code := suite.Run(); code != 0 {
			t.Errorf("godog ends with status %d", code)
		}
		s.output.Lock()
		defer s.output.Unlock()
		fmt.Print(printed.String())
	})
}

func (s *platformSuite) initialize(t *testing.T, sc *godog.ScenarioContext, c *testCluster) {
	t.Helper()
	namespace := fmt.Sprintf("f%d", s.ran.Add(1))
	p := &platform{cluster: c, World: &steps.World{Client: c.objects, Namespace: namespace, Patience: s.patience}}
	sc.Before(func(ctx context.Context, _ *godog.Scenario) (context.Context, error) { return ctx, p.begin(ctx, t) })
	sc.After(func(ctx context.Context, _ *godog.Scenario, err error) (context.Context, error) {
		return ctx, p.end(ctx, err)
	})
	for _, step := range steps.Table(p.World) {
		sc.Step(step.Pattern, step.Func)
	}
	p.register(sc)
}

// begin gives the scenario a namespace and a kubeconfig that lies in it.
func (p *platform) begin(ctx context.Context, t *testing.T) error {
	t.Helper()
	if _, err := p.cluster.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Namespace}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	err := until(ctx, 15*time.Second, "a service account in namespace "+p.Namespace, func() (string, bool, error) {
		_, err := p.cluster.client.CoreV1().ServiceAccounts(p.Namespace).Get(ctx, "default", metav1.GetOptions{})
		return "", err == nil, err
	})
	if err != nil {
		return err
	}
	p.Dir = t.TempDir()
	raw, err := clientcmd.LoadFromFile(p.cluster.kubeconfig)
	if err != nil {
		return err
	}
	if err := clientcmd.ResolveLocalPaths(raw); err != nil {
		return err
	}
	raw.Contexts[raw.CurrentContext].Namespace = p.Namespace
	path := filepath.Join(p.Dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*raw, path); err != nil {
		return err
	}
	top, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	p.Env = append(os.Environ(), "KUBECONFIG="+path, "NAMESPACE="+p.Namespace, "WHEELHOUSE_CLUSTER="+p.cluster.name, "TOP="+top,
		"PATH="+filepath.Dir(p.cluster.program)+":"+os.Getenv("PATH"))
	return nil
}

// end removes the scenario's objects without waiting for them, and opens the nodes that
// it left closed: what failed here shall not fail the next.
func (p *platform) end(ctx context.Context, err error) error {
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		p.openNodes(ctx)
	}
	if deleteErr := p.cluster.client.CoreV1().Namespaces().Delete(ctx, p.Namespace, metav1.DeleteOptions{}); deleteErr != nil && err == nil {
		return deleteErr
	}
	return nil
}

// openNodes lets all minions take pods again, whatever a scenario did to them.
func (p *platform) openNodes(ctx context.Context) {
	for _, name := range []string{"minion-1", "minion-2"} {
		patch := []byte(`{"spec":{"unschedulable":null,"taints":null}}`)
		// What cannot be mended shows in the next scenario.
		_, _ = p.cluster.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
}
