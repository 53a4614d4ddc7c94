package why

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/lab-runner/near"
)

// killedByProbe reports whether the kubelet has ended the container because its liveness or startup probe failed.
func (ct *container) killedByProbe(c *chain) bool {
	last := ct.last()
	e := c.f.podEventWith(ct.pod, ct.spec.Name+" failed ", "Killing")
	if e == nil || last == nil || ct.spec.LivenessProbe == nil && ct.spec.StartupProbe == nil {
		return false
	}
	// A container that ended on its own later than that ended for its own reason.
	return last.Reason != "OOMKilled" && last.FinishedAt.Sub(eventTime(e)).Abs() <= grace(ct.pod)
}

// probeKills names the probe that has ended the container.
func (c *chain) probeKills(ct *container) {
	e := c.f.podEventWith(ct.pod, ct.spec.Name+" failed ", "Killing")
	kind, probe := "liveness", ct.spec.LivenessProbe
	if strings.Contains(e.Message, "startup probe") || probe == nil {
		kind, probe = "startup", ct.spec.StartupProbe
	}
	c.probeFailed(ct, kind, probe, fmt.Sprintf("; the kubelet restarts it for that (%d times so far)", ct.status.RestartCount))
}

// probes is the hop of the probes of a container that runs.
func (c *chain) probes(ct *container) {
	if c.over() || ct.status == nil || ct.status.State.Running == nil {
		return
	}
	switch {
	case ct.spec.StartupProbe != nil && ct.status.Started != nil && !*ct.status.Started:
		c.notYet(ct, "startup", ct.spec.StartupProbe)
	case ct.spec.ReadinessProbe != nil && !ct.status.Ready:
		c.notYet(ct, "readiness", ct.spec.ReadinessProbe)
	case ct.spec.LivenessProbe != nil && c.livenessFails(ct):
		c.probeFailed(ct, "liveness", ct.spec.LivenessProbe, "; after failureThreshold failures the kubelet restarts the container")
	case ct.spec.ReadinessProbe != nil || ct.spec.LivenessProbe != nil || ct.spec.StartupProbe != nil:
		c.fine("probes", "the probes of %s succeed", ct.who)
	}
}

// livenessFails reports whether the liveness probe has failed in the present run, within its last two periods.
func (c *chain) livenessFails(ct *container) bool {
	e := c.unhealthy(ct, "liveness")
	if e == nil {
		return false
	}
	return eventTime(e).After(ct.status.State.Running.StartedAt.Time) && c.f.Taken.Sub(eventTime(e)).Seconds() < float64(2*max(1, ct.spec.LivenessProbe.PeriodSeconds)+2)
}

func (c *chain) unhealthy(ct *container, kind string) *corev1.Event {
	for _, e := range c.f.events("Pod", ct.pod.Name, string(ct.pod.UID)) {
		if e.Reason != "Unhealthy" || !strings.HasPrefix(strings.ToLower(e.Message), kind+" probe") {
			continue
		}
		if field := e.InvolvedObject.FieldPath; field == "" || strings.Contains(field, "{"+ct.spec.Name+"}") {
			return &e
		}
	}
	return nil
}

func (c *chain) notYet(ct *container, kind string, probe *corev1.Probe) {
	if c.unhealthy(ct, kind) == nil {
		c.waiting(cause{
			hop: "probes", reason: "ProbeNotYet", text: fmt.Sprintf("the %s probe of %s has not succeeded yet: %s", kind, ct.who, asked(ct, probe)),
			do: fmt.Sprintf("Wait: the first probe comes after %d seconds, then one every %d seconds.", probe.InitialDelaySeconds, max(1, probe.PeriodSeconds)),
		})
		return
	}
	effect := "; while it fails, no Service sends traffic to the pod"
	if kind == "startup" {
		effect = "; until it succeeds, the pod is not ready, and after failureThreshold failures it is restarted"
	}
	c.probeFailed(ct, kind, probe, effect)
}

// asked is what the kubelet does for a probe.
func asked(ct *container, p *corev1.Probe) string {
	switch {
	case p.HTTPGet != nil:
		path := p.HTTPGet.Path
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		return fmt.Sprintf("GET %s on port %s", path, p.HTTPGet.Port.String())
	case p.TCPSocket != nil:
		return "a connection to port " + p.TCPSocket.Port.String()
	case p.GRPC != nil:
		return fmt.Sprintf("gRPC health on port %d", p.GRPC.Port)
	case p.Exec != nil:
		return "the command `" + short(strings.Join(p.Exec.Command, " "), 100) + "`"
	}
	return "nothing, in " + ct.who
}

// probePort returns the port of a probe, by number; 0 if it has none, or its name is not one of the container.
func probePort(ct *container, p *corev1.Probe) (port int32, name string) {
	var number int32
	switch {
	case p.HTTPGet != nil:
		number, name = p.HTTPGet.Port.IntVal, p.HTTPGet.Port.StrVal
	case p.TCPSocket != nil:
		number, name = p.TCPSocket.Port.IntVal, p.TCPSocket.Port.StrVal
	case p.GRPC != nil:
		number = p.GRPC.Port
	}
	for _, cp := range ct.spec.Ports {
		if name != "" && cp.Name == name {
			number = cp.ContainerPort
		}
	}
	return number, name
}

var statusCode = regexp.MustCompile(`statuscode: (\d+)`)

// probeFailed names why a probe fails: what was asked and what was answered.
func (c *chain) probeFailed(ct *container, kind string, probe *corev1.Probe, effect string) {
	if probe == nil {
		return
	}
	e := c.unhealthy(ct, kind)
	answer := ""
	if e != nil {
		answer = e.Message
		if _, after, ok := strings.Cut(answer, "probe failed: "); ok {
			answer = after
		} else if _, after, ok := strings.Cut(answer, "probe errored: "); ok {
			answer = after
		}
	}
	title := strings.ToUpper(kind[:1]) + kind[1:]
	w := cause{
		hop: "probes", reason: title + "Failed", text: fmt.Sprintf("the %s probe of %s fails: %s%s", kind, ct.who, asked(ct, probe), effect),
		do: fmt.Sprintf("Correct %sProbe, or what it asks: %s", kind, c.edit(ct.pod)), details: []string{"asked: " + asked(ct, probe), "answered: " + short(answer, 300)},
	}
	port, name := probePort(ct, probe)
	lower := strings.ToLower(answer)
	switch m := statusCode.FindStringSubmatch(answer); {
	case name != "" && port == 0:
		w.reason = title + "PortName"
		w.text = fmt.Sprintf("the %s probe of %s asks port %q, and the container has no port of that name", kind, ct.who, name)
		if other := near.Name(name, portNames(ct)); other != "" {
			w.text += "; it has " + other
		}
	case strings.Contains(lower, "connection refused"):
		w.reason = title + "Port"
		w.text = fmt.Sprintf("the %s probe of %s asks port %d, where nothing listens%s", kind, ct.who, port, effect)
		if other := c.listens(ct.pod, ct, port); other != "" {
			w.text = fmt.Sprintf("the %s probe of %s asks port %d, where nothing listens: %s%s", kind, ct.who, port, other, effect)
			w.do = fmt.Sprintf("Correct the port of %sProbe: %s", kind, c.edit(ct.pod))
		}
		if c.mayYet(ct, port) {
			w.reason, w.do = "ProbeNotYet", "Wait half a minute and ask again."
			w.text = fmt.Sprintf("the %s probe of %s asked port %d before the program listened there; the container has just been started", kind, ct.who, port)
			c.waiting(w)
			return
		}
	case m != nil:
		w.reason = title + "Status"
		w.text = fmt.Sprintf("the %s probe of %s is answered with status %s: %s%s", kind, ct.who, m[1], asked(ct, probe), effect)
		w.do = fmt.Sprintf("Correct the path of %sProbe, or mend what the program says there: %s", kind, c.edit(ct.pod))
	case strings.Contains(lower, "deadline exceeded") || strings.Contains(lower, "timeout") || strings.Contains(lower, "timed out"):
		w.reason = title + "Timeout"
		w.text = fmt.Sprintf("the %s probe of %s is not answered within timeoutSeconds, %d: %s%s", kind, ct.who, max(1, probe.TimeoutSeconds), asked(ct, probe), effect)
		w.do = fmt.Sprintf("Raise timeoutSeconds of %sProbe, or make the answer faster: %s", kind, c.edit(ct.pod))
	case probe.Exec != nil && (strings.Contains(lower, "no such file") || strings.Contains(lower, "not found")):
		w.reason = title + "Command"
		w.text = fmt.Sprintf("the %s probe of %s runs a command that the image does not have: %s%s", kind, ct.who, asked(ct, probe), effect)
	}
	c.broken(w)
}

func portNames(ct *container) []string {
	var out []string
	for _, p := range ct.spec.Ports {
		if p.Name != "" {
			out = append(out, p.Name)
		}
	}
	return out
}

// listens says on which ports a pod listens, or which its manifest names, other than one; "" if nothing is known.
func (c *chain) listens(p *corev1.Pod, ct *container, not int32) string {
	var open []string
	for _, s := range c.f.Listening[p.Name] {
		if text := fmt.Sprint(s.Port); s.Protocol == "TCP" && s.Port != not && !s.Loopback && !slices.Contains(open, text) {
			open = append(open, text)
		}
	}
	if len(open) > 0 {
		return "it listens on " + strings.Join(open, ", ")
	}
	for _, a := range slices.Sorted(keysOf(c.f.Answers)) {
		var pod string
		var port int32
		if n, _ := fmt.Sscanf(a, "pod %s %d", &pod, &port); n == 2 && pod == p.Name && port != not && c.f.Answers[a].OK {
			open = append(open, fmt.Sprint(port))
		}
	}
	if len(open) > 0 {
		return "port " + strings.Join(open, ", ") + " answers"
	}
	if ct == nil {
		return ""
	}
	for _, cp := range ct.spec.Ports {
		if cp.ContainerPort != not {
			open = append(open, fmt.Sprint(cp.ContainerPort))
		}
	}
	if len(open) > 0 {
		return "its manifest names containerPort " + strings.Join(open, ", ")
	}
	return ""
}

// grace is how long the end of a container may come after the event that announces it.
func grace(p *corev1.Pod) time.Duration {
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if p.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *p.Spec.TerminationGracePeriodSeconds
	}
	return time.Duration(seconds+5) * time.Second
}

// mayYet reports whether a port that refused a probe is open by now, or may still be opened by a program that has just been
// started and listens nowhere.
func (c *chain) mayYet(ct *container, port int32) bool {
	for _, s := range c.f.Listening[ct.pod.Name] {
		if s.Protocol == "TCP" && s.Port == port && !s.Loopback {
			return ct.status.State.Running != nil && c.justStarted(ct.pod)
		}
	}
	return ct.status.State.Running != nil && c.justStarted(ct.pod) && !c.opens(ct.pod)
}
