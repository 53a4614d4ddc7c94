package environment

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/steps"
)

// needsTimeout is how long the cluster, an engine or a node may take to answer, on a machine of usual speed.
const needsTimeout = time.Minute

// CheckNeeds returns an error that names the first thing which the lab needs and which is missing here, and what to do
// then: a program of `needs`, or what `requires` says. env is that of the lab's commands.
func (c *Cluster) CheckNeeds(ctx context.Context, lab *catalog.Lab, env []string) error {
	if c.only != "" {
		if err := c.more(ctx, lab, env); err != nil {
			return err
		}
	}
	if err := CheckPrograms(ctx, lab, env, c.Slow); err != nil {
		return err
	}
	for _, r := range ClusterRequirements {
		if lab.Has(r) {
			if err := c.CheckRequirement(ctx, lab, r, env); err != nil {
				return err
			}
		}
	}
	return nil
}

// ClusterRequirements are those of catalog.Requirements that are about the cluster.
var ClusterRequirements = []string{"cluster-admin", "many-nodes", "node-shell"}

// CheckRequirement returns an error if the cluster lacks one of ClusterRequirements, which the lab has.
func (c *Cluster) CheckRequirement(ctx context.Context, lab *catalog.Lab, requirement string, env []string) error {
	ctx, cancel := context.WithTimeout(ctx, c.Slow.Wait(needsTimeout))
	defer cancel()
	switch requirement {
	case "cluster-admin":
		return c.checkRights(ctx, lab)
	case "many-nodes":
		if c.only != "" {
			return nil // an account with one namespace may not list nodes
		}
		return c.checkNodes(ctx, lab)
	case "node-shell":
		return c.checkShell(ctx, lab, env)
	}
	return fmt.Errorf("no requirement %s of a cluster", requirement)
}

func (c *Cluster) checkRights(ctx context.Context, lab *catalog.Lab) error {
	all, err := c.Client.MayAll(ctx)
	if err != nil {
		return fmt.Errorf("asking what this user may do: %w", err)
	}
	if !all {
		return fmt.Errorf("lab %s changes nodes, volumes or namespaces, and the user of this kubeconfig may not: "+
			"use one of an administrator (--kubeconfig, or 'wheelhouse up' for a cluster of your own), or leave this lab out", lab.Name)
	}
	return nil
}

func (c *Cluster) checkNodes(ctx context.Context, lab *catalog.Lab) error {
	var nodes corev1.NodeList
	if err := c.Client.List(ctx, "nodes", "", metav1.ListOptions{}, &nodes); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	var open, others []string
	for i := range nodes.Items {
		n := &nodes.Items[i]
		name, _ := ReadyNode(nodes.Items[i : i+1])
		closed := slices.IndexFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule })
		switch {
		case n.Spec.Unschedulable:
			others = append(others, n.Name+" is cordoned")
		case name == "":
			others = append(others, n.Name+" is not ready")
		case closed >= 0:
			others = append(others, n.Name+" has the taint "+n.Spec.Taints[closed].ToString())
		default:
			open = append(open, name)
		}
	}
	if len(open) >= 2 {
		return nil
	}
	return fmt.Errorf("lab %s needs two nodes that run pods, and here is %d (%s): 'kubectl uncordon NODE' opens a cordoned one, "+
		"'wheelhouse up --nodes 2' brings up a cluster of two; or leave this lab out", lab.Name, len(open), strings.Join(slices.Concat(open, others), ", "))
}

func (c *Cluster) checkShell(ctx context.Context, lab *catalog.Lab, env []string) error {
	path := find("wheelhouse", env)
	if path == "" {
		return fmt.Errorf("lab %s runs commands on a node with 'wheelhouse ssh', and wheelhouse is not on the PATH: "+
			"run the lab where the cluster was brought up, or leave it out", lab.Name)
	}
	node := ""
	for _, v := range env {
		if name, ok := strings.CutPrefix(v, "NODE="); ok {
			node = name
		}
	}
	cmd := exec.CommandContext(ctx, path, "ssh", node, "--", "true")
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lab %s runs commands on a node, and 'wheelhouse ssh %s -- true' fails here: %w: %s: "+
			"run the lab where 'wheelhouse up' brought the cluster up ($WHEELHOUSE_CLUSTER names another than the usual one), or leave it out",
			lab.Name, node, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// CheckPrograms returns an error that names a program which the lab needs and which is missing
// here. docker is missing unless its engine answers.
func CheckPrograms(ctx context.Context, lab *catalog.Lab, env []string, slow steps.Slow) error {
	needs := lab.Needs
	if lab.Has("docker") {
		needs = append(slices.Clone(needs), "docker")
	}
	for _, need := range needs {
		path := find(need, env)
		if path == "" {
			return fmt.Errorf("lab %s needs %s, which is not on the PATH: install it, or leave this lab out", lab.Name, need)
		}
		if need != "docker" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, slow.Wait(needsTimeout))
		defer cancel()
		cmd := exec.CommandContext(ctx, path, "version", "--format", "{{.Server.Version}}")
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err() // it was killed
			}
			return fmt.Errorf("lab %s needs a Docker Engine, and none answers here: %w: %s: "+
				"start it, name another with DOCKER_HOST, or leave this lab out", lab.Name, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// find returns the path of a program on env's PATH, or "".
func find(program string, env []string) string {
	for _, v := range env {
		list, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, program)
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	return ""
}
