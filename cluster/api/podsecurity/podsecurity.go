// Package podsecurity has what a pod may ask of its node, by upstream's Pod Security Standards: the one list of checks
// that admission applies to the pods of a namespace, and a node to all its pods whoever administers the API. It does no I/O.
package podsecurity

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// NewEvaluator returns the evaluator of upstream's checks.
func NewEvaluator() (policy.Evaluator, error) {
	e, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, fmt.Errorf("the checks of PodSecurity: %w", err)
	}
	return e, nil
}

// Node are the checks of a node whose API's administrators are not trusted with the machine: upstream's level baseline, and
// of restricted the kinds of volumes, since those that baseline allows besides reach file servers or run git on the node.
type Node struct {
	evaluator policy.Evaluator
	volumes   policy.CheckPodFn
}

// NewNode returns the checks of a node.
func NewNode() (*Node, error) {
	e, err := NewEvaluator()
	if err != nil {
		return nil, err
	}
	versions := policy.CheckRestrictedVolumes().Versions
	return &Node{e, versions[len(versions)-1].CheckPod}, nil
}

// Violation returns what the pod asks for and does not get, or "".
func (n *Node) Violation(pod *v1.Pod) string {
	level := psa.LevelVersion{Level: psa.LevelBaseline, Version: psa.LatestVersion()}
	results := n.evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec)
	all := policy.AggregateCheckResults(append(results, n.volumes(&pod.ObjectMeta, &pod.Spec)))
	if all.Allowed {
		return ""
	}
	return all.ForbiddenDetail()
}
