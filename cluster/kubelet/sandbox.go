package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/objects"
	"wheelhouse/cluster/kubelet/podspec"
)

// startingSandbox is a sandbox that has been created and is being started.
type startingSandbox struct {
	done chan struct{} // closed when it is up or has failed
	err  error
}

func (a *startingSandbox) wait() error {
	<-a.done
	return a.err
}

// createSandbox makes a new sandbox and starts it in the background: meanwhile
// volumes, images and the first container are prepared. The old sandboxes and
// the address are released first.
func (w *worker) createSandbox(ctx context.Context, pod *v1.Pod) (*startingSandbox, error) {
	if err := w.checkHandler(ctx, pod); err != nil {
		return nil, err
	}
	attempt := 0
	if w.observed.Sandbox != nil {
		attempt = w.observed.Sandbox.Attempt + 1
		w.PodEvent(v1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
		if err := w.dropSandboxes(ctx); err != nil {
			return nil, err
		}
	}
	hostname, err := containerspec.Hostname(pod, w.k.config.ClusterDomain)
	if err != nil {
		return nil, err
	}
	spec := &cri.Spec{
		Pod: w.ref, Name: cri.SandboxName, Attempt: attempt, Hostname: hostname,
		Labels:       map[string]string{labelGrace: strconv.FormatInt(podspec.GracePeriod(pod), 10)},
		CgroupParent: w.cgroup(pod), Resources: cri.Resources{CPUShares: containerspec.MinShares}, OOMScoreAdj: -998,
		HostPID: pod.Spec.HostPID, HostIPC: pod.Spec.HostIPC,
	}
	switch {
	case pod.Spec.HostNetwork && w.k.hostNetns:
		spec.HostNetwork, spec.Hostname = true, ""
	case pod.Spec.HostNetwork:
		spec.NetNS, spec.Hostname = ownNetNS(), w.k.config.NodeName
	}
	spec.Sysctls = containerspec.Sysctls(pod)
	began := time.Now()
	id, err := w.k.runtime.Create(ctx, spec)
	w.recordStep(began, err, "sandbox created")
	if err != nil {
		return nil, err
	}
	w.selfStarted.add(id)
	// It counts as running from here: whoever needs it waits for the arrival.
	w.observed.Sandbox = &cri.Container{ID: id, Name: cri.SandboxName, Pod: w.ref, Attempt: attempt, State: cri.Running}
	a := &startingSandbox{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.err = w.startSandbox(ctx, pod, id)
	}()
	return a, nil
}

func (w *worker) startSandbox(ctx context.Context, pod *v1.Pod, id string) error {
	began := time.Now()
	err := w.k.runtime.Start(ctx, id)
	w.recordStep(began, err, "sandbox started")
	if err != nil {
		return err
	}
	c, err := w.k.runtime.Inspect(ctx, id)
	if err != nil {
		return err
	}
	if c.State != cri.Running {
		return fmt.Errorf("the sandbox terminated with exit code %d", c.ExitCode)
	}
	began = time.Now()
	err = w.attach(ctx, pod, c.Pid, netip.Addr{})
	w.recordStep(began, err, "network attached")
	if err == nil {
		err = w.isolate(ctx, pod)
	}
	return err
}

// policyTimeout is how long containers wait for the rules of network policies. Without an API server at the start of a node,
// static pods start after it.
const policyTimeout = 20 * time.Second

// isolate waits until network policies hold for the pod, whose containers then may start: what they connect to before goes on
// later. Where the node cannot write rules its pods start without, with an event.
func (w *worker) isolate(ctx context.Context, pod *v1.Pod) error {
	if w.k.config.Policies == nil || pod.Spec.HostNetwork {
		return nil
	}
	ip, err := netip.ParseAddr(w.podIP())
	if err != nil {
		return err
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, policyTimeout)
	defer cancel()
	err = w.k.config.Policies.Starting(bounded, pod, ip)
	w.recordStep(began, err, "network policies in force")
	if err != nil && ctx.Err() == nil {
		w.log.Warn("containers start before network policies hold for the pod", "err", err)
		w.PodEvent(v1.EventTypeWarning, "NetworkPolicyNotEnforced", "Containers start before network policies hold for the pod: "+err.Error())
	}
	return ctx.Err()
}

// attach connects the sandbox to the network, and writes the files with its address.
func (w *worker) attach(ctx context.Context, pod *v1.Pod, pid int, ip netip.Addr) error {
	_, err := w.limitGroups(ctx, pod, pid)
	if err != nil {
		return fmt.Errorf("limit the pod's control group: %w", err)
	}
	if pod.Spec.HostNetwork {
		ip, err = w.k.config.NodeIP, waitJoined(ctx, pid)
	} else {
		ip, err = w.k.config.Network.Attach(ctx, w.ref.UID, pid, ip)
	}
	if err == nil {
		err = w.openHostPorts(ctx, pod, ip)
	}
	if err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	w.setIP(ip)
	return w.writeFiles(pod, ip.String())
}

// podFiles are what writeFiles writes.
var podFiles = []string{"ip", "hosts", "resolv.conf"}

// writeFiles writes what names the pod and its resolver. Before the address is
// known they are written without it: Docker binds only files that exist.
func (w *worker) writeFiles(pod *v1.Pod, ip string) error {
	if err := os.MkdirAll(filepath.Join(w.dir, "etc"), 0o755); err != nil {
		return err
	}
	dns, omitted := containerspec.ResolvConfFor(pod, w.k.resolv, w.k.config.ClusterDNS, w.k.config.ClusterDomain).Fit()
	if ip == "" { // once for each sandbox
		if text := containerspec.NoClusterDNS(pod, w.k.config.ClusterDNS); text != "" {
			w.PodEvent(v1.EventTypeWarning, "MissingClusterDNS", fmt.Sprintf("pod: %q. %s", pod.Name+"_"+pod.Namespace+"("+w.ref.UID+")", text))
		}
		for _, text := range omitted {
			w.PodEvent(v1.EventTypeWarning, "DNSConfigForming", text)
		}
	}
	for name, content := range map[string]string{
		"ip": ip, "hosts": containerspec.HostsFile(pod, ip, w.k.config.ClusterDomain, func() string { return nodefs.Hosts(w.k.config.HostRoot) }), "resolv.conf": dns.String(),
	} {
		if err := writeShared(w.file(name), content); err != nil {
			return err
		}
	}
	return nil
}

// writeShared writes a file in place, so that containers that have it mounted see
// the new content. They can write to it, too: it may be of any size.
func writeShared(path, content string) error {
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(content)) {
		if old, err := os.ReadFile(path); err == nil && string(old) == content {
			return nil
		}
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// adoptSandbox adopts a sandbox that an earlier kubelet has started.
func (w *worker) adoptSandbox(ctx context.Context, pod *v1.Pod) error {
	text, _ := os.ReadFile(w.file("ip"))
	ip, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	if err != nil {
		ip, _ = netip.ParseAddr(pod.Status.PodIP) // the zero address if there is none
	}
	if err := w.attach(ctx, pod, w.observed.Sandbox.Pid, ip); err != nil {
		return fmt.Errorf("adopt the sandbox: %w", err)
	}
	for _, list := range w.observed.Containers {
		if slices.ContainsFunc(list, func(c cri.Container) bool { return c.State != cri.Created }) {
			return nil // it was started after the policies were in force
		}
	}
	return w.isolate(ctx, pod)
}

// dropSandboxes removes all of the pod's sandboxes and releases its address.
func (w *worker) dropSandboxes(ctx context.Context) error {
	w.adopted = ""
	all, err := w.k.runtime.List(ctx, w.ref.UID)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Name != cri.SandboxName {
			continue
		}
		if err := w.k.runtime.Remove(ctx, c.ID); err != nil {
			return err
		}
	}
	return w.detach(ctx, w.observed.Pod)
}

// handlers are the ways in which the node can run a pod, as runtime classes name them.
// The empty one is that of pods without a class.
var handlers = []string{"", "runc"}

// checkHandler rejects a pod whose runtime class names a handler that the node does not have,
// one that requests devices or a group of pods that start together, which nothing here gives,
// and one that requests a user namespace, which no handler supports. PodSecurity allows such a
// pod more, as its root is no user of the node: without the namespace it would be root.
func (w *worker) checkHandler(ctx context.Context, pod *v1.Pod) error {
	if own := pod.Spec.HostUsers; own != nil && !*own {
		handler := ""
		if pod.Spec.RuntimeClassName != nil {
			handler = *pod.Spec.RuntimeClassName
		}
		return fmt.Errorf("RuntimeClass handler %q does not support user namespaces", handler)
	}
	if err := ungiven(pod); err != nil {
		return err
	}
	if pod.Spec.RuntimeClassName == nil || *pod.Spec.RuntimeClassName == "" {
		return nil
	}
	name := *pod.Spec.RuntimeClassName
	ctx, cancel := context.WithTimeout(ctx, objects.Timeout)
	defer cancel()
	class, err := w.k.config.Client.NodeV1().RuntimeClasses().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("failed to lookup RuntimeClass %s: %w", name, err)
	}
	if !slices.Contains(handlers, class.Handler) {
		return fmt.Errorf("failed to get sandbox runtime: no runtime for %q is configured", class.Handler)
	}
	return nil
}

// ungiven is an error for what a pod requests and no part of the cluster gives: without it the
// pod would run with less than it asks for.
func ungiven(pod *v1.Pod) error {
	if pod.Spec.SchedulingGroup != nil {
		return errors.New("schedulingGroup is not supported: the scheduler starts no pods of a group together")
	}
	claims := len(pod.Spec.ResourceClaims) > 0
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			claims = claims || len(list[i].Resources.Claims) > 0
		}
	}
	if claims {
		return errors.New("resourceClaims are not supported: the node has no drivers of dynamic resources")
	}
	return nil
}
