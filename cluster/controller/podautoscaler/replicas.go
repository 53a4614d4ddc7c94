package podautoscaler

import (
	"errors"
	"fmt"
	"math"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"wheelhouse/cluster/api/podfacts"
)

// usage is the usage of a pod, or of one of its containers, in thousandths.
type usage struct {
	value  int64
	at     time.Time
	window time.Duration
}

// startup is how long the CPU usage of a new pod does not count.
type startup struct {
	initialization time.Duration // in which it counts only if the pod has been ready for a whole window
	readiness      time.Duration // after which a pod that is not ready has been ready before
}

// calculation is the input for the pods of a target and one resource.
type calculation struct {
	pods      []*v1.Pod
	used      map[string]usage // by pod
	resource  v1.ResourceName
	container string // "" is the whole pod
	replicas  int32  // present
	tolerance tolerances
	startup   startup
	now       time.Time
}

// tolerances are how far usage may be from the target before replicas change.
type tolerances struct{ up, down float64 }

func (t tolerances) within(ratio float64) bool { return ratio >= 1-t.down && ratio <= 1+t.up }

// result is what a calculation returns.
type result struct {
	replicas    int32
	average     int64 // usage per pod, in thousandths
	utilization int32 // in percent of what was requested
}

// groups are the pods by how their usage counts.
type groups struct {
	ready   int
	unready sets.Set[string] // pending, or starting up
	missing sets.Set[string] // without metrics
	ignored sets.Set[string] // being deleted, or failed
}

func (q *calculation) group() groups {
	g := groups{unready: sets.New[string](), missing: sets.New[string](), ignored: sets.New[string]()}
	for _, p := range q.pods {
		used, known := q.used[p.Name]
		switch {
		case p.DeletionTimestamp != nil || p.Status.Phase == v1.PodFailed:
			g.ignored.Insert(p.Name)
		case p.Status.Phase == v1.PodPending:
			g.unready.Insert(p.Name)
		case !known:
			g.missing.Insert(p.Name)
		case q.resource == v1.ResourceCPU && q.starting(p, used):
			g.unready.Insert(p.Name)
		default:
			g.ready++
		}
	}
	return g
}

// starting reports whether the pod is starting up, so that its CPU usage does not count.
func (q *calculation) starting(p *v1.Pod, used usage) bool {
	ready := podfacts.Condition(p, v1.PodReady)
	if ready == nil || p.Status.StartTime == nil {
		return true
	}
	began, changed := p.Status.StartTime.Time, ready.LastTransitionTime.Time
	if began.Add(q.startup.initialization).After(q.now) {
		return ready.Status == v1.ConditionFalse || used.at.Before(changed.Add(used.window))
	}
	return ready.Status == v1.ConditionFalse && began.Add(q.startup.readiness).After(changed)
}

var (
	errNoPods    = errors.New("no pods returned by selector while calculating replica count")
	errNoMetrics = errors.New("did not receive metrics for targeted pods (pods might be unready)")
	errNoMatch   = errors.New("no metrics returned matched known pods")
)

// byUtilization returns how many replicas bring usage to a percentage of what is requested.
func (q *calculation) byUtilization(target int32) (result, error) {
	requests, err := q.requests()
	if err != nil {
		return result{}, err
	}
	return q.solve(func(used map[string]usage) (float64, result, error) {
		var sum, requested int64
		for name, u := range used {
			if r, ok := requests[name]; ok {
				sum += u.value
				requested += r
			}
		}
		if requested == 0 {
			return 0, result{}, errNoMatch
		}
		percent := int32(sum * 100 / requested)
		return float64(percent) / float64(target), result{average: sum / int64(len(used)), utilization: percent}, nil
	}, func(name string) int64 { return requests[name] * int64(max(100, target)) / 100 })
}

// byValue returns how many replicas bring usage to an average value, in thousandths.
func (q *calculation) byValue(target int64) (result, error) {
	return q.solve(func(used map[string]usage) (float64, result, error) {
		var sum int64
		for _, u := range used {
			sum += u.value
		}
		average := sum / int64(len(used))
		return float64(average) / float64(target), result{average: average}, nil
	}, func(string) int64 { return target })
}

// solve returns the replicas. measure returns the ratio of usage to target; full is the usage
// that is assumed of a pod without metrics before a scale-down. The result is bounded by
// the best and the worst assumption about such pods.
func (q *calculation) solve(measure func(map[string]usage) (float64, result, error), full func(pod string) int64) (result, error) {
	if len(q.pods) == 0 {
		return result{}, errNoPods
	}
	g := q.group()
	used := map[string]usage{}
	for name, u := range q.used {
		if !g.ignored.Has(name) && !g.unready.Has(name) {
			used[name] = u
		}
	}
	if len(used) == 0 {
		return result{}, errNoMetrics
	}
	ratio, out, err := measure(used)
	if err != nil {
		return result{}, err
	}
	out.replicas = q.replicas
	withUnready := len(g.unready) > 0 && ratio > 1
	if !withUnready && len(g.missing) == 0 {
		if !q.tolerance.within(ratio) {
			out.replicas = int32(math.Ceil(ratio * float64(g.ready)))
		}
		return out, nil
	}
	for name := range g.missing {
		switch {
		case ratio < 1:
			used[name] = usage{value: full(name)}
		case ratio > 1:
			used[name] = usage{}
		}
	}
	if withUnready {
		for name := range g.unready {
			used[name] = usage{}
		}
	}
	again, _, err := measure(used)
	if err != nil {
		return result{}, err
	}
	if q.tolerance.within(again) || ratio < 1 && again > 1 || ratio > 1 && again < 1 {
		return out, nil
	}
	replicas := int32(math.Ceil(again * float64(len(used))))
	if again < 1 && replicas > q.replicas || again > 1 && replicas < q.replicas {
		return out, nil // pods without metrics must not reverse the direction
	}
	out.replicas = replicas
	return out, nil
}

// requests returns the requests of each pod, in thousandths.
func (q *calculation) requests() (map[string]int64, error) {
	requests := make(map[string]int64, len(q.pods))
	for _, p := range q.pods {
		if all := p.Spec.Resources; q.container == "" && all != nil {
			if r, ok := all.Requests[q.resource]; ok {
				requests[p.Name] = r.MilliValue()
				continue
			}
		}
		containers := p.Spec.Containers
		for i := range p.Spec.InitContainers {
			if c := p.Spec.InitContainers[i]; podfacts.Sidecar(&c) {
				containers = append(containers[:len(containers):len(containers)], c)
			}
		}
		var sum int64
		for i := range containers {
			if q.container != "" && q.container != containers[i].Name {
				continue
			}
			r, ok := containers[i].Resources.Requests[q.resource]
			if !ok {
				return nil, fmt.Errorf("missing request for %s in container %s of Pod %s", q.resource, containers[i].Name, p.Name)
			}
			sum += r.MilliValue()
		}
		requests[p.Name] = sum
	}
	return requests, nil
}
