package features_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"wheelhouse/lab-runner/catalog"
)

// labsRun is held while TestLabs has a cluster.
var labsRun sync.Mutex

// proven is what TestLabs also proves step by step (`lab test`), of each track a part that takes a minute or less on an idle
// machine: a lab, or the steps of it up to one. make test-labs proves all.
var proven = map[string]string{
	"workshop": "objects",
	"trial":    "guestbook/the-page",
	"pi":       "hello-kube",
	"monolith": "container",
	"notes":    "notes/lifecycle-hooks",
	"drills":   "no-endpoints",
	"hard-way": "components/the-controller-manager",
}

// TestLabs runs each lab as people do, beside TestPlatform: both wait most of the time. Those
// drills that leave the nodes alone run side by side, when the other labs are done.
func TestLabs(t *testing.T) {
	labsRun.Lock() // before TestPlatform begins
	t.Cleanup(labsRun.Unlock)
	t.Parallel()
	dockerInUse.RLock()
	t.Cleanup(dockerInUse.RUnlock) // after the cluster is down
	root, err := catalog.Root("..")
	if err != nil {
		t.Fatal(err)
	}
	labs, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	c := bringUp(t, "labs", 2)
	for _, lab := range labs {
		if proven[lab.Track] == "" {
			t.Errorf("nothing of track %s is proven step by step", lab.Track)
		}
		t.Run(lab.Name, func(t *testing.T) {
			if lab.Track == "drills" && lab.Cleanup == "" {
				t.Parallel()
			}
			c.labs(t, root, "run", lab.Name)
			if part := proven[lab.Track]; part == lab.Name || strings.HasPrefix(part, lab.Name+"/") {
				c.labs(t, root, "test", part)
			}
		})
	}
}

// labs runs a command of the labs on the cluster; one that fails is an error of the test.
func (c *testCluster) labs(t *testing.T, root, command string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.program, append([]string{"lab", command, "--slow", "3", "--labs", root, "--kubeconfig", c.kubeconfig}, args...)...)
	cmd.Env = append(os.Environ(), "WHEELHOUSE_CLUSTER="+c.name)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("lab %s %v: %v", command, args, err)
	}
}
