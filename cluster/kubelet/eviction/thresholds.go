package eviction

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Signal is a resource of a node that can run out.
type Signal string

// The signals, as upstream names them.
const (
	SignalMemory        Signal = "memory.available"
	SignalNodeFS        Signal = "nodefs.available"
	SignalNodeFSInodes  Signal = "nodefs.inodesFree"
	SignalImageFS       Signal = "imagefs.available"
	SignalImageFSInodes Signal = "imagefs.inodesFree"
	SignalPID           Signal = "pid.available"
)

// signals has for each signal the node's condition, the resource as messages name it, and
// the format of its amounts.
var signals = map[Signal]struct {
	condition v1.NodeConditionType
	resource  v1.ResourceName
	format    resource.Format
}{
	SignalMemory:        {v1.NodeMemoryPressure, v1.ResourceMemory, resource.BinarySI},
	SignalNodeFS:        {v1.NodeDiskPressure, v1.ResourceEphemeralStorage, resource.BinarySI},
	SignalNodeFSInodes:  {v1.NodeDiskPressure, "inodes", resource.DecimalSI},
	SignalImageFS:       {v1.NodeDiskPressure, v1.ResourceEphemeralStorage, resource.BinarySI},
	SignalImageFSInodes: {v1.NodeDiskPressure, "inodes", resource.DecimalSI},
	SignalPID:           {v1.NodePIDPressure, "pids", resource.DecimalSI},
}

// Threshold is the least of a signal that must be available: an amount, or a share of the
// capacity. A soft one may be met for its grace period.
type Threshold struct {
	Signal   Signal
	Quantity resource.Quantity
	Share    float64 // of the capacity, where it is not 0
	Grace    time.Duration
}

// Amount returns the threshold for a capacity.
func (t Threshold) Amount(capacity int64) int64 {
	if t.Share > 0 {
		return int64(t.Share * float64(capacity))
	}
	return t.Quantity.Value()
}

// DefaultHard is upstream's default.
const DefaultHard = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"

// Config is when a node evicts pods. The zero value never evicts for the sake of the node.
type Config struct {
	Hard, Soft []Threshold
	// MaxPodGrace bounds the grace period of a pod that a soft threshold evicts.
	MaxPodGrace time.Duration
	// Reclaim is how much more than a threshold must be available once it was met.
	Reclaim map[Signal]Threshold
	// Transition is how long a pressure condition stays after its cause is over.
	Transition time.Duration
}

// ParseThresholds parses a list such as "memory.available<100Mi,nodefs.available<10%".
func ParseThresholds(text string) ([]Threshold, error) {
	var out []Threshold
	seen := map[Signal]bool{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "<")
		if !ok {
			return nil, fmt.Errorf("eviction threshold %q: want signal<quantity, such as %s<100Mi", part, SignalMemory)
		}
		t, err := parseThreshold(name, value)
		if err != nil {
			return nil, err
		}
		if seen[t.Signal] {
			return nil, fmt.Errorf("eviction threshold %q: %s is named twice", part, t.Signal)
		}
		seen[t.Signal] = true
		if t.Share == 0 && t.Quantity.IsZero() { // as upstream, 0% switches a threshold off
			continue
		}
		out = append(out, t)
	}
	return out, nil
}

func parseThreshold(name, value string) (Threshold, error) {
	t := Threshold{Signal: Signal(strings.TrimSpace(name))}
	if _, ok := signals[t.Signal]; !ok {
		return t, fmt.Errorf("eviction signal %q is not known; use %s, %s, %s, %s, %s or %s",
			name, SignalMemory, SignalNodeFS, SignalNodeFSInodes, SignalImageFS, SignalImageFSInodes, SignalPID)
	}
	value = strings.TrimSpace(value)
	if number, ok := strings.CutSuffix(value, "%"); ok {
		percent, err := strconv.ParseFloat(number, 64)
		if err != nil || percent < 0 || percent >= 100 {
			return t, fmt.Errorf("eviction threshold of %s: %q is not a percentage from 0%% to less than 100%%", name, value)
		}
		t.Share = percent / 100
		return t, nil
	}
	q, err := resource.ParseQuantity(value)
	if err != nil || q.Sign() < 0 {
		return t, fmt.Errorf("eviction threshold of %s: %q is neither a quantity such as 100Mi nor a percentage", name, value)
	}
	t.Quantity = q
	return t, nil
}

// Parse parses the flags --eviction-hard, --eviction-soft, --eviction-soft-grace-period,
// which has a period for each soft threshold, and --eviction-minimum-reclaim.
func Parse(hard, soft string, graces, reclaim map[string]string) (Config, error) {
	var e Config
	var err error
	if e.Hard, err = ParseThresholds(hard); err != nil {
		return e, err
	}
	if e.Soft, err = ParseThresholds(soft); err != nil {
		return e, err
	}
	for i := range e.Soft {
		t := &e.Soft[i]
		if t.Grace, err = time.ParseDuration(graces[string(t.Signal)]); err != nil || t.Grace <= 0 {
			return e, fmt.Errorf("the soft eviction threshold of %s needs a grace period, such as --eviction-soft-grace-period %s=1m30s", t.Signal, t.Signal)
		}
	}
	for signal := range graces {
		if !slices.ContainsFunc(e.Soft, func(t Threshold) bool { return t.Signal == Signal(signal) }) {
			return e, fmt.Errorf("--eviction-soft-grace-period names %s, of which --eviction-soft has no threshold", signal)
		}
	}
	e.Reclaim = map[Signal]Threshold{}
	for name, value := range reclaim {
		t, err := parseThreshold(name, value)
		if err != nil {
			return e, fmt.Errorf("--eviction-minimum-reclaim: %w", err)
		}
		e.Reclaim[t.Signal] = t
	}
	return e, nil
}
