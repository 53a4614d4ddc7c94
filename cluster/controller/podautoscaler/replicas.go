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

// usage is what a pod (or one of its containers) uses of a resource, in thousandths.
type usage struct {
	value  int64
	at     time.Time
	window time.Duration
}

// patience is how long a new pod's processor time does not count: it may be starting up.
type patience struct {
	initialization time.Duration // in which it counts only while the pod has been ready for a whole window
	readiness      time.Duration // after which a pod that is not ready has been ready before
}

// question is what there is to know about the pods of a target, for one resource.
type question struct {
	pods      []*v1.Pod
	used      map[string]usage // by pod
	resource  v1.ResourceName
	container string // "" is the whole pod
	replicas  int32  // as they are
	tolerance tolerances
	patience  patience
	now       time.Time
}

// tolerances are how far usage may be from the target before replicas change.
type tolerances struct{ up, down float64 }

func (t tolerances) within(ratio float64) bool { return ratio >= 1-t.down && ratio <= 1+t.up }

// answer is what follows.
type answer struct {
	replicas    int32
	average     int64 // usage per pod, in thousandths
	utilization int32 // in percent of what was requested
}

// groups are the pods by what their usage says.
type groups struct {
	ready   int
	unready sets.Set[string] // they run, but do not work yet
	missing sets.Set[string] // nobody knows what they use
	ignored sets.Set[string] // they go, or have failed
}

func (q *question) group() groups {
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

// starting: what the pod uses is not what it uses when it works.
func (q *question) starting(p *v1.Pod, used usage) bool {
	ready := podfacts.Condition(p, v1.PodReady)
	if ready == nil || p.Status.StartTime == nil {
		return true
	}
	began, changed := p.Status.StartTime.Time, ready.LastTransitionTime.Time
	if began.Add(q.patience.initialization).After(q.now) {
		return ready.Status == v1.ConditionFalse || used.at.Before(changed.Add(used.window))
	}
	return ready.Status == v1.ConditionFalse && began.Add(q.patience.readiness).After(changed)
}

var (
	errNoPods    = errors.New("no pods returned by selector while calculating replica count")
	errNoMetrics = errors.New("did not receive metrics for targeted pods (pods might be unready)")
	errNoMatch   = errors.New("no metrics returned matched known pods")
)

// byUtilization is how many replicas bring usage to a percentage of what is requested.
func (q *question) byUtilization(target int32) (answer, error) {
	requests, err := q.requests()
	if err != nil {
		return answer{}, err
	}
	return q.solve(func(used map[string]usage) (float64, answer, error) {
		var sum, requested int64
		for name, u := range used {
			if r, ok := requests[name]; ok {
				sum += u.value
				requested += r
			}
		}
		if requested == 0 {
			return 0, answer{}, errNoMatch
		}
		percent := int32(sum * 100 / requested)
		return float64(percent) / float64(target), answer{average: sum / int64(len(used)), utilization: percent}, nil
	}, func(name string) int64 { return requests[name] * int64(max(100, target)) / 100 })
}

// byValue is how many replicas bring usage to an average value, in thousandths.
func (q *question) byValue(target int64) (answer, error) {
	return q.solve(func(used map[string]usage) (float64, answer, error) {
		var sum int64
		for _, u := range used {
			sum += u.value
		}
		average := sum / int64(len(used))
		return float64(average) / float64(target), answer{average: average}, nil
	}, func(string) int64 { return target })
}

// solve finds the replicas. measure gives the ratio of usage to target; full is what a
// pod of which nothing is known is taken to use before anything is scaled down. The
// answer never goes further than it would if such pods were as good or as bad as can be.
func (q *question) solve(measure func(map[string]usage) (float64, answer, error), full func(pod string) int64) (answer, error) {
	if len(q.pods) == 0 {
		return answer{}, errNoPods
	}
	g := q.group()
	used := map[string]usage{}
	for name, u := range q.used {
		if !g.ignored.Has(name) && !g.unready.Has(name) {
			used[name] = u
		}
	}
	if len(used) == 0 {
		return answer{}, errNoMetrics
	}
	ratio, result, err := measure(used)
	if err != nil {
		return answer{}, err
	}
	result.replicas = q.replicas
	withUnready := len(g.unready) > 0 && ratio > 1
	if !withUnready && len(g.missing) == 0 {
		if !q.tolerance.within(ratio) {
			result.replicas = int32(math.Ceil(ratio * float64(g.ready)))
		}
		return result, nil
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
		return answer{}, err
	}
	if q.tolerance.within(again) || ratio < 1 && again > 1 || ratio > 1 && again < 1 {
		return result, nil
	}
	replicas := int32(math.Ceil(again * float64(len(used))))
	if again < 1 && replicas > q.replicas || again > 1 && replicas < q.replicas {
		return result, nil // what is not known must not turn the direction
	}
	result.replicas = replicas
	return result, nil
}

// requests are what each pod asks for, in thousandths.
func (q *question) requests() (map[string]int64, error) {
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
