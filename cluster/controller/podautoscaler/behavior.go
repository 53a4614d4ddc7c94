package podautoscaler

import (
	"math"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
)

// history is the past of an autoscaler, kept in this process only, as upstream.
type history struct {
	recommended []moment // by the metrics
	ups, downs  []moment // by how many replicas
}

type moment struct {
	at       time.Time
	replicas int32
}

// keep returns the moments after since.
func keep(list []moment, since time.Time) []moment {
	var kept []moment
	for _, m := range list {
		if m.at.After(since) {
			kept = append(kept, m)
		}
	}
	return kept
}

// maxHistory bounds what is kept: no window or period may be longer.
const maxHistory = time.Hour

func (h *history) expire(now time.Time) {
	since := now.Add(-maxHistory)
	h.recommended, h.ups, h.downs = keep(h.recommended, since), keep(h.ups, since), keep(h.downs, since)
}

func (h *history) scaled(from, to int32, now time.Time) {
	if to > from {
		h.ups = append(h.ups, moment{now, to - from})
	} else if to < from {
		h.downs = append(h.downs, moment{now, from - to})
	}
}

// rules are the behavior of one direction with its defaults.
type rules struct {
	window   time.Duration
	choose   autoscaling.ScalingPolicySelect
	policies []autoscaling.HPAScalingPolicy
}

func rulesOf(r *autoscaling.HPAScalingRules, window time.Duration, policies ...autoscaling.HPAScalingPolicy) rules {
	out := rules{window: window, choose: autoscaling.MaxChangePolicySelect, policies: policies}
	if r == nil {
		return out
	}
	if s := r.StabilizationWindowSeconds; s != nil {
		out.window = time.Duration(*s) * time.Second
	}
	if r.SelectPolicy != nil {
		out.choose = *r.SelectPolicy
	}
	if r.Policies != nil {
		out.policies = r.Policies
	}
	return out
}

// behavior returns the rules of both directions with upstream's defaults: scale up by 100 %
// or four pods every 15 s; scale down without limit, to the highest recommendation of the
// last five minutes.
func behavior(b *autoscaling.HorizontalPodAutoscalerBehavior, downWindow time.Duration) (up, down rules) {
	if b == nil {
		b = &autoscaling.HorizontalPodAutoscalerBehavior{}
	}
	up = rulesOf(b.ScaleUp, 0,
		autoscaling.HPAScalingPolicy{Type: autoscaling.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
		autoscaling.HPAScalingPolicy{Type: autoscaling.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
	down = rulesOf(b.ScaleDown, downWindow, autoscaling.HPAScalingPolicy{Type: autoscaling.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
	return up, down
}

// recommendation is a number of replicas, with its conditions.
type recommendation struct {
	replicas         int32
	able             condition
	limited          bool
	limitReason      string
	limitExplanation string
}

// stabilize turns the replicas by the metrics into those to set now: stabilized over the
// windows, at the permitted rate, and between the bounds.
func (h *history) stabilize(asked, current, fewest, most int32, up, down rules, now time.Time) recommendation {
	v := recommendation{able: condition{true, "ReadyForNewScale", "recommended size matches current size"}}
	steady := h.inWindows(asked, current, up.window, down.window, now)
	if steady != asked {
		if asked >= current {
			v.able = condition{true, "ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation"}
		} else {
			v.able = condition{true, "ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation"}
		}
	}
	v.replicas, v.limitReason, v.limitExplanation = steady, "DesiredWithinRange", "the desired count is within the acceptable range"
	switch {
	case steady > current:
		limit := max(current, h.upTo(current, up, now))
		bound, reason, text := most, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
		if bound > limit {
			bound, reason, text = limit, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
		}
		if steady > bound {
			v.replicas, v.limited, v.limitReason, v.limitExplanation = bound, true, reason, text
		}
	case steady < current:
		limit := min(current, h.downTo(current, down, now))
		bound, reason, text := fewest, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
		if bound < limit {
			bound, reason, text = limit, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"
		}
		if steady < bound {
			v.replicas, v.limited, v.limitReason, v.limitExplanation = bound, true, reason, text
		}
	}
	return v
}

// inWindows returns the lowest recommendation in the window for scaling up, if that is up,
// or the highest in the window for scaling down.
func (h *history) inWindows(asked, current int32, upWindow, downWindow time.Duration, now time.Time) int32 {
	least, most := asked, asked
	for _, m := range keep(h.recommended, now.Add(-upWindow)) {
		least = min(least, m.replicas)
	}
	for _, m := range keep(h.recommended, now.Add(-downWindow)) {
		most = max(most, m.replicas)
	}
	h.recommended = append(h.recommended, moment{now, asked})
	return min(max(current, least), most)
}

// upTo returns how many replicas the policies permit now.
func (h *history) upTo(current int32, r rules, now time.Time) int32 {
	return r.limit(current, math.MinInt32, math.MaxInt32, func(p autoscaling.HPAScalingPolicy) int32 {
		start := h.periodStart(current, p, now)
		if p.Type == autoscaling.PodsScalingPolicy {
			return start + p.Value
		}
		return int32(math.Ceil(float64(start) * (1 + float64(p.Value)/100)))
	}, func(a, b int32) bool { return a > b })
}

// downTo returns how few replicas the policies permit now.
func (h *history) downTo(current int32, r rules, now time.Time) int32 {
	return r.limit(current, math.MaxInt32, math.MinInt32, func(p autoscaling.HPAScalingPolicy) int32 {
		start := h.periodStart(current, p, now)
		if p.Type == autoscaling.PodsScalingPolicy {
			return start - p.Value
		}
		return int32(float64(start) * (1 - float64(p.Value)/100))
	}, func(a, b int32) bool { return a < b })
}

// limit selects among the policies: the largest or the smallest change.
func (r rules) limit(current, none, all int32, of func(autoscaling.HPAScalingPolicy) int32, further func(a, b int32) bool) int32 {
	if r.choose == autoscaling.DisabledPolicySelect {
		return current
	}
	least := r.choose == autoscaling.MinChangePolicySelect
	limit := none
	if least {
		limit = all
	}
	for _, p := range r.policies {
		if l := of(p); further(l, limit) != least {
			limit = l
		}
	}
	return limit
}

// periodStart returns how many replicas there were when a policy's period began.
func (h *history) periodStart(current int32, p autoscaling.HPAScalingPolicy, now time.Time) int32 {
	since := now.Add(-time.Duration(p.PeriodSeconds) * time.Second)
	for _, m := range keep(h.ups, since) {
		current -= m.replicas
	}
	for _, m := range keep(h.downs, since) {
		current += m.replicas
	}
	return current
}
