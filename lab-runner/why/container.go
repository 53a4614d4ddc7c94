package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// container is one of a pod's containers with its state.
type container struct {
	pod    *corev1.Pod
	spec   *corev1.Container
	status *corev1.ContainerStatus // nil if the kubelet has reported none
	init   bool
	who    string // "container web", "init container wait"
}

func statusOf(list []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func containersOf(p *corev1.Pod) (inits, mains []container) {
	for i := range p.Spec.InitContainers {
		s := &p.Spec.InitContainers[i]
		inits = append(inits, container{p, s, statusOf(p.Status.InitContainerStatuses, s.Name), true, "init container " + s.Name})
	}
	for i := range p.Spec.Containers {
		s := &p.Spec.Containers[i]
		mains = append(mains, container{p, s, statusOf(p.Status.ContainerStatuses, s.Name), false, "container " + s.Name})
	}
	return inits, mains
}

// sidecar reports whether an init container runs beside the others.
func (ct *container) sidecar() bool {
	return ct.init && ct.spec.RestartPolicy != nil && *ct.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// hop is the name of a hop of this container.
func (ct *container) hop(name string) string {
	if ct.init {
		return "init: " + name
	}
	return name
}

// containers are the hops of the pod's containers: init containers first, then image, start, run and probes of all.
func (c *chain) containers(p *corev1.Pod) {
	inits, mains := containersOf(p)
	for i := range inits {
		ct := &inits[i]
		c.image(ct)
		c.config(ct)
		c.start(ct)
		c.run(ct)
		if c.over() {
			return
		}
		s := ct.status
		switch {
		case s != nil && s.State.Terminated != nil && s.State.Terminated.ExitCode == 0:
			c.fine("init", "%s has finished", ct.who)
		case ct.sidecar() && s != nil && s.State.Running != nil && (s.Started == nil || *s.Started):
			c.fine("init", "%s runs beside the others", ct.who)
		case s != nil && s.State.Running != nil:
			c.waiting(cause{
				hop: "init", reason: "InitRunning", text: fmt.Sprintf("%s runs since %s, and the next container starts when it has finished", ct.who, s.State.Running.StartedAt.UTC().Format("15:04:05 UTC")),
				do: "See what it waits for: " + c.kubectl("logs %s -c %s", p.Name, ct.spec.Name), details: c.log(ct),
			})
			return
		default:
			c.creating(p, ct)
			return
		}
	}
	for _, hop := range []func(*container){c.image, c.config, c.start, c.run, c.probes} {
		for i := range mains {
			hop(&mains[i])
		}
		if c.over() {
			return
		}
	}
}

// creating is a container that has not been started, with nothing known that hinders it.
func (c *chain) creating(p *corev1.Pod, ct *container) {
	c.waiting(cause{
		hop: ct.hop("start"), reason: "Creating", text: fmt.Sprintf("the kubelet of node %s is about to start %s", p.Spec.NodeName, ct.who),
		do: "Wait a few seconds and ask again.", details: []string{quote(c.f.podEvent(p, "Pulling", "Scheduled"))},
	})
}

// waitingFor returns the reason and the message of a container that waits.
func (ct *container) waitingFor() (reason, message string) {
	if ct.status == nil || ct.status.State.Waiting == nil {
		return "", ""
	}
	return ct.status.State.Waiting.Reason, ct.status.State.Waiting.Message
}

// last returns how the container ended the last time, nil if it never has.
func (ct *container) last() *corev1.ContainerStateTerminated {
	switch {
	case ct.status == nil:
		return nil
	case ct.status.State.Terminated != nil:
		return ct.status.State.Terminated
	}
	return ct.status.LastTerminationState.Terminated
}

// config is the hop in which the kubelet puts the container's environment and its user together.
func (c *chain) config(ct *container) {
	reason, message := ct.waitingFor()
	if c.over() || reason != "CreateContainerConfigError" && reason != "CreateContainerError" {
		return
	}
	if reason == "CreateContainerError" {
		c.startFailed(ct, message)
		return
	}
	c.sources(ct.hop("configuration"), ct.pod, variables(ct.spec))
	if c.over() {
		return
	}
	w := cause{hop: ct.hop("configuration"), reason: "Configuration", text: ct.who + " cannot be put together: " + short(message, 300), do: "Mend what it says: " + c.edit(ct.pod)}
	if strings.Contains(message, "runAsNonRoot") {
		w.reason, w.text = "RunsAsRoot", ct.who+" may not run as root (runAsNonRoot), and its image has no other user"
		w.do = "Set securityContext.runAsUser to a number other than 0: " + c.edit(ct.pod)
		w.details = []string{"the kubelet: " + short(message, 300)}
	}
	c.broken(w)
}

// start is the hop in which the runtime starts the container's command.
func (c *chain) start(ct *container) {
	if c.over() {
		return
	}
	reason, message := ct.waitingFor()
	last := ct.last()
	switch {
	case reason == "RunContainerError" || reason == "PostStartHookError" && last == nil:
		c.startFailed(ct, message)
	case last != nil && (last.Reason == "ContainerCannotRun" || last.Reason == "StartError") && (ct.status.State.Running == nil):
		c.startFailed(ct, last.Message)
	case ct.status == nil || reason == "ContainerCreating" || reason == "PodInitializing":
		if !ct.init {
			c.creating(ct.pod, ct)
		}
	}
}

// words is the command of a container's manifest, "" if the image has it.
func words(ct *container) string {
	return strings.Join(append(slices.Clone(ct.spec.Command), ct.spec.Args...), " ")
}

// startFailed names why the runtime could not start a command, by its message.
func (c *chain) startFailed(ct *container, message string) {
	if e := c.f.podEvent(ct.pod, "Failed"); message == "" && e != nil {
		message = e.Message
	}
	w := cause{hop: ct.hop("start"), reason: "StartFailed", text: "the container runtime cannot start " + ct.who, do: "Mend what it says: " + c.edit(ct.pod), details: []string{"the runtime: " + short(message, 400)}}
	program := "the image's own command"
	if len(ct.spec.Command) > 0 {
		program = ct.spec.Command[0]
	} else if len(ct.spec.Args) > 0 {
		program = ct.spec.Args[0]
	}
	switch m := strings.ToLower(message); {
	case strings.Contains(m, "permission denied"):
		w.reason, w.text = "CommandNotExecutable", fmt.Sprintf("%s cannot be started: %s is not executable", ct.who, program)
		w.do = "Name an executable file in command, or make it executable in the image (chmod +x): " + c.edit(ct.pod)
	case strings.Contains(m, "chdir") || strings.Contains(m, "cwd") || strings.Contains(m, "working directory"):
		w.reason, w.text = "WorkingDirectory", fmt.Sprintf("%s cannot be started: its workingDir %s is not a directory of the image", ct.who, ct.spec.WorkingDir)
		w.do = "Correct workingDir: " + c.edit(ct.pod)
	case strings.Contains(m, "not a directory") || strings.Contains(m, "mounting") || strings.Contains(m, "error mounting") || strings.Contains(m, "are you trying to mount a directory"):
		w.reason, w.text = "MountPath", fmt.Sprintf("%s cannot be started: a volume cannot be mounted at its mountPath", ct.who)
		w.do = "Correct mountPath or subPath (a file cannot be mounted over a directory): " + c.edit(ct.pod)
	case strings.Contains(m, "executable file not found") || strings.Contains(m, "no such file or directory"):
		w.reason, w.text = "CommandNotFound", fmt.Sprintf("%s cannot be started: its image has no program %s", ct.who, program)
		w.do = "Correct the command: " + c.edit(ct.pod)
		if strings.Contains(program, " ") {
			w.text += " (the whole line is taken as one name)"
			w.do = `Write each word of the command as an item of its own, such as ["sh", "-c", "..."]: ` + c.edit(ct.pod)
		}
	}
	c.broken(w)
}

// recent is how long after the end of a container its end is still its state, though it runs again.
const recent = 60 * time.Second

// run is the hop in which the container runs: whether it ends, and how.
func (c *chain) run(ct *container) {
	if c.over() || ct.status == nil {
		return
	}
	last := ct.last()
	running := ct.status.State.Running
	if ct.init && last != nil && last.ExitCode == 0 && running == nil && !ct.sidecar() {
		return
	}
	if last == nil || running != nil && c.runsAgain(ct, last) {
		if running != nil && !ct.init {
			text := fmt.Sprintf("%s runs since %s", ct.who, running.StartedAt.UTC().Format("15:04:05 UTC"))
			if ct.status.RestartCount > 0 {
				text += fmt.Sprintf("; it was restarted %d times", ct.status.RestartCount)
			}
			c.fine("run", "%s", text)
		}
		return
	}
	if ct.killedByProbe(c) {
		c.fine(ct.hop("run"), "%s was started", ct.who)
		c.probeKills(ct)
		return
	}
	c.exited(ct, last)
}

// runsAgain reports whether a container that ended before has since run for longer than then, and for a minute.
func (c *chain) runsAgain(ct *container, last *corev1.ContainerStateTerminated) bool {
	since := c.f.age(ct.status.State.Running.StartedAt)
	return since > max(recent, 2*last.FinishedAt.Sub(last.StartedAt.Time))
}

// exited names why a container ended.
func (c *chain) exited(ct *container, last *corev1.ContainerStateTerminated) {
	w := cause{hop: ct.hop("run"), details: c.log(ct)}
	if n := ct.status.RestartCount; n > 0 {
		w.details = append(w.details, fmt.Sprintf("restarted %d times; the kubelet waits longer before each restart, up to 5 minutes", n))
	}
	hook := c.f.podEvent(ct.pod, "FailedPostStartHook")
	switch {
	case last.Reason == "OOMKilled":
		limit := ct.spec.Resources.Limits[corev1.ResourceMemory]
		w.reason, w.text = "OOMKilled", fmt.Sprintf("%s has used more memory than its limit of %s, and the kernel has killed it", ct.who, limit.String())
		w.do = "Raise resources.limits.memory, or let the program use less: " + c.edit(ct.pod)
		if limit.IsZero() {
			w.text = ct.who + " was killed as the node had no memory left"
			w.do = "Set requests and limits of memory, so that the pod gets a node with room: " + c.edit(ct.pod)
		}
	case hook != nil:
		w.hop, w.reason, w.text = ct.hop("start"), "PostStartHook", "the postStart hook of "+ct.who+" has failed, so the kubelet has ended the container"
		w.do = "Correct lifecycle.postStart: " + c.edit(ct.pod)
		w.details = append([]string{quote(hook)}, w.details...)
	case last.ExitCode == 0 && ct.pod.Spec.RestartPolicy == corev1.RestartPolicyAlways && !ct.init:
		w.reason, w.text = "CommandEnded", ct.who+" ends on its own with exit code 0, and restartPolicy Always starts it again and again"
		w.do = "Give it a command that keeps running (a server in the foreground), or make it a Job: " + c.edit(ct.pod)
		if words(ct) == "" {
			w.text += "; the manifest names no command, and that of the image ends"
		}
	case last.ExitCode == 0:
		c.fine("run", "%s has finished", ct.who)
		return
	case last.ExitCode == 127 || last.ExitCode == 126 && strings.Contains(strings.Join(w.details, " "), "ermission denied"):
		w.reason, w.text = "CommandNotFound", fmt.Sprintf("%s has ended with exit code %d: the shell did not find a command", ct.who, last.ExitCode)
		w.do = "Correct the command: " + c.edit(ct.pod)
	case last.ExitCode == 137:
		w.reason, w.text = "Killed", ct.who+" was killed (exit code 137, SIGKILL)"
		w.do = "See what has killed it: " + c.kubectl("describe pod %s", ct.pod.Name)
	default:
		w.reason, w.text = "Crashed", fmt.Sprintf("%s ends with exit code %d%s", ct.who, last.ExitCode, signalOf(last.ExitCode))
		w.do = "Read its log: " + c.kubectl("logs %s -c %s%s", ct.pod.Name, ct.spec.Name, previous(ct))
	}
	if len(c.log(ct)) == 0 && w.reason != "OOMKilled" {
		w.details = append([]string{"it has written nothing to its log"}, w.details...)
	}
	c.broken(w)
}

func previous(ct *container) string {
	if ct.status.State.Terminated == nil && ct.status.LastTerminationState.Terminated != nil {
		return " --previous"
	}
	return ""
}

func signalOf(code int32) string {
	names := map[int32]string{134: "SIGABRT", 139: "SIGSEGV, a fault of the program", 143: "SIGTERM"}
	if n := names[code]; n != "" {
		return " (" + n + ")"
	}
	return ""
}

// log is the last lines of a container's log as details.
func (c *chain) log(ct *container) []string {
	text := strings.TrimSpace(c.f.Logs[ct.pod.Name+"/"+ct.spec.Name])
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	var out []string
	for _, l := range lines[max(0, len(lines)-3):] {
		out = append(out, "log: "+short(l, 200))
	}
	return out
}
