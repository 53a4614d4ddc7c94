package features_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/cucumber/godog"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// registerResources are the steps about what nodes give to pods.
func (p *platform) registerResources(sc *godog.ScenarioContext) {
	sc.Step(`^the control group of pod "([^"]+)" lies in "([^"]+)"$`, func(ctx context.Context, pod, place string) error {
		return p.inGroup(ctx, pod, place, "")
	})
	sc.Step(`^the control group of pod "([^"]+)" lies in "([^"]+)" and holds (\d+) bytes$`, p.inGroup)
	sc.Step(`^all groups above that of guaranteed pod "([^"]+)" weigh as much as the machine's processors$`, p.weighed)
	sc.Step(`^no control group of pod "([^"]+)" is left$`, p.noGroup)
	sc.Step(`^the minions are started with "([^"]+)"$`, func(ctx context.Context, args string) error { return p.upWith(ctx, strings.Fields(args)) })
	sc.Step(`^the minions are started as before$`, func(ctx context.Context) error { return p.upWith(ctx, nil) })
}

// groupsOf are the directories of a pod's control group, one in each hierarchy. The pod may
// be gone: its uid is then the one that was seen last.
func (p *platform) groupsOf(ctx context.Context, name string) ([]string, error) {
	if pod, err := p.cluster.client.CoreV1().Pods(p.Namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
		if p.noted == nil {
			p.noted = map[string]string{}
		}
		p.noted["uid of "+name] = string(pod.UID)
	}
	uid := p.noted["uid of "+name]
	if uid == "" {
		return nil, fmt.Errorf("pod %s was never seen", name)
	}
	var out []string
	for _, pattern := range []string{"*/wheelhouse/*/*/kubepods/pod%s", "*/wheelhouse/*/*/kubepods/*/pod%s", "wheelhouse/*/*/kubepods/pod%s", "wheelhouse/*/*/kubepods/*/pod%s"} {
		found, err := filepath.Glob("/sys/fs/cgroup/" + fmt.Sprintf(pattern, uid))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (p *platform) inGroup(ctx context.Context, pod, place, limit string) error {
	return until(ctx, p.Patience, "the group of pod "+pod+" in "+place, func() (string, bool, error) {
		dirs, err := p.groupsOf(ctx, pod)
		if err != nil || len(dirs) == 0 {
			return "no group", false, err
		}
		holds := ""
		for _, dir := range dirs {
			if !strings.HasSuffix(filepath.Dir(dir), "/"+place) {
				return dir, false, nil
			}
			for _, file := range []string{"memory.limit_in_bytes", "memory.max"} {
				if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
					holds = strings.TrimSpace(string(text))
				}
			}
		}
		if _, err := strconv.ParseUint(limit, 10, 64); err != nil {
			return dirs[0], limit == "", nil //nolint:nilerr // a limit that is no number is none
		}
		return dirs[0] + " holds " + holds, holds == limit, nil
	})
}

// weighed looks at the cpu.shares, or cpu.weight, of all groups between a pod's and the
// root of the hierarchy.
func (p *platform) weighed(ctx context.Context, pod string) error {
	shares := 1024 * runtime.NumCPU()
	least := map[string]int{"cpu.shares": shares, "cpu.weight": 1 + (shares-2)*9999/262142} // as container runtimes convert it
	return until(ctx, p.Patience, fmt.Sprintf("every group above pod %s to have %v", pod, least), func() (string, bool, error) {
		dirs, err := p.groupsOf(ctx, pod)
		seen, ok := []string{}, err == nil
		for _, dir := range dirs {
			for above := filepath.Dir(dir); strings.Contains(above, "/wheelhouse"); above = filepath.Dir(above) {
				for file, want := range least {
					text, err := os.ReadFile(filepath.Join(above, file))
					if err != nil {
						continue // of another version, or another controller's hierarchy
					}
					have, err := strconv.Atoi(strings.TrimSpace(string(text)))
					seen = append(seen, fmt.Sprintf("%s/%s %d", above, file, have))
					ok = ok && err == nil && have >= want
				}
			}
		}
		return strings.Join(seen, ", "), ok && len(seen) >= 4, err
	})
}

func (p *platform) noGroup(ctx context.Context, pod string) error {
	return until(ctx, p.Patience, "no group of pod "+pod, func() (string, bool, error) {
		dirs, err := p.groupsOf(ctx, pod)
		return strings.Join(dirs, ", "), len(dirs) == 0, err
	})
}

func (p *platform) upWith(ctx context.Context, args []string) error {
	line := []string{"up", "--nodes", "2"}
	for _, a := range args {
		line = append(line, "--node-arg="+a)
	}
	_, err := p.cluster.run(ctx, line...)
	return err
}
