package features_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kubectl is the real kubectl as the administrator.
func (s *fixture) kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, s.cluster.program, append([]string{"kubectl", "--kubeconfig", s.cluster.kubeconfig}, args...)...)
}

// onNode runs a command in a node's namespaces.
func (s *fixture) onNode(ctx context.Context, node string, command ...string) (string, error) {
	args := append([]string{"ssh", "--name", s.cluster.name, node, "--"}, command...)
	out, err := exec.CommandContext(ctx, s.cluster.program, args...).CombinedOutput()
	return string(out), err
}

// isolationAttacks make pods that PodSecurity must refuse.
func isolationAttacks() []attack {
	const kind = "a pod that leaves its isolation"
	pod := func(spec, container string) string {
		return `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","annotations":{}},"spec":{` + spec + `"containers":[{"name":"c","image":"busybox"` + container + `}]}}`
	}
	var attacks []attack
	for _, c := range []struct{ name, spec, container string }{
		{"privileged", "", `,"securityContext":{"privileged":true}`},
		{"the machine's processes", `"hostPID":true,`, ""},
		{"the machine's network", `"hostNetwork":true,`, ""},
		{"the machine's shared memory", `"hostIPC":true,`, ""},
		{"a directory of the machine", `"volumes":[{"name":"v","hostPath":{"path":"/"}}],`, ""},
		{"a port of the machine", "", `,"ports":[{"containerPort":80,"hostPort":80}]`},
		{"more capabilities", "", `,"securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}`},
		{"an unmasked proc", "", `,"securityContext":{"procMount":"Unmasked"}`},
		{"no seccomp", "", `,"securityContext":{"seccompProfile":{"type":"Unconfined"}}`},
		{"no AppArmor", "", `,"securityContext":{"appArmorProfile":{"type":"Unconfined"}}`},
		{"a sysctl of the machine", `"securityContext":{"sysctls":[{"name":"kernel.msgmax","value":"1"}]},`, ""},
		{"SELinux of another type", `"securityContext":{"seLinuxOptions":{"type":"spc_t"}},`, ""},
		{"a privileged init container", `"initContainers":[{"name":"i","image":"busybox","securityContext":{"privileged":true}}],`, ""},
	} {
		attacks = append(attacks, attack{kind, c.name, "", func(ctx context.Context, s *fixture) error {
			ns, err := s.restrictedTo(ctx, "baseline")
			if err != nil {
				return err
			}
			return refused(s.admin.post(ctx, "/api/v1/namespaces/"+ns+"/pods", pod(c.spec, c.container)), 403, 422)
		}})
	}
	return append(attacks,
		attack{kind, "an ephemeral container afterwards", "", func(ctx context.Context, s *fixture) error {
			ns, err := s.restrictedTo(ctx, "baseline")
			if err != nil {
				return err
			}
			pods := "/api/v1/namespaces/" + ns + "/pods"
			if r := s.admin.post(ctx, pods, pod("", "")); r.code != http.StatusCreated && r.code != http.StatusConflict {
				return fmt.Errorf("preparing: %v", r)
			}
			patch := `{"spec":{"ephemeralContainers":[{"name":"e","image":"busybox","securityContext":{"privileged":true}}]}}`
			return refused(s.admin.send(ctx, http.MethodPatch, pods+"/p/ephemeralcontainers", "application/strategic-merge-patch+json", patch), 403)
		}},
		attack{kind, "root in a restricted namespace", "", func(ctx context.Context, s *fixture) error {
			ns, err := s.restrictedTo(ctx, "restricted")
			if err != nil {
				return err
			}
			return refused(s.admin.post(ctx, "/api/v1/namespaces/"+ns+"/pods", pod("", "")), 403)
		}},
		attack{kind, "a level that does not exist", "", func(ctx context.Context, s *fixture) error {
			return refused(s.admin.post(ctx, "/api/v1/namespaces", `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"typo","labels":{"pod-security.kubernetes.io/enforce":"strict"}}}`), 422)
		}},
	)
}

// restrictedTo is a namespace with that level of PodSecurity.
func (s *fixture) restrictedTo(ctx context.Context, level string) (string, error) {
	ns := "level-" + level
	r := s.admin.post(ctx, "/api/v1/namespaces", fmt.Sprintf(
		`{"kind":"Namespace","apiVersion":"v1","metadata":{"name":%q,"labels":{"pod-security.kubernetes.io/enforce":%q}}}`, ns, level))
	if r.code != http.StatusCreated && r.code != http.StatusConflict {
		return "", fmt.Errorf("preparing: %v", r)
	}
	return ns, until(ctx, 15*time.Second, "a service account in namespace "+ns, func() (string, bool, error) {
		r := s.admin.get(ctx, "/api/v1/namespaces/"+ns+"/serviceaccounts/default")
		return r.String(), r.code == http.StatusOK, nil
	})
}

// sizeAttacks are single requests that cost more than their size.
func sizeAttacks() []attack {
	const kind = "work that is not bounded by the request"
	maps := "/api/v1/namespaces/" + own + "/configmaps"
	return []attack{
		{kind, "copies that double", "CVE-2019-1002100", func(ctx context.Context, s *fixture) error {
			s.admin.post(ctx, maps, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"seed","annotations":{"a":"`+strings.Repeat("x", 1000)+`"}}}`)
			ops := []string{`{"op":"add","path":"/metadata/labels","value":{"a":["` + strings.Repeat("x", 1000) + `"]}}`}
			for range 40 {
				ops = append(ops, `{"op":"copy","from":"/metadata/labels/a","path":"/metadata/labels/a/-"}`)
			}
			return s.withinMemory(ctx, func() error {
				return refused(s.editor.send(ctx, http.MethodPatch, maps+"/seed?dryRun=All", "application/json-patch+json", "["+strings.Join(ops, ",")+"]"), 400, 413, 422)
			})
		}},
		{kind, "YAML that multiplies", "CVE-2019-11253", func(ctx context.Context, s *fixture) error {
			lines := []string{"a0: &a0 [x,x,x,x,x,x,x,x,x]"}
			for i := 1; i < 12; i++ {
				ref := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ",")
				lines = append(lines, fmt.Sprintf("a%d: &a%d [%s]", i, i, ref))
			}
			body := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n" + strings.Join(lines, "\n")
			return s.withinMemory(ctx, func() error {
				return each(refused(s.editor.send(ctx, http.MethodPost, maps, "application/yaml", body), 400, 413, 422),
					refused(s.editor.send(ctx, http.MethodPatch, maps+"/bomb?fieldManager=x", "application/apply-patch+yaml", body), 400, 413, 422))
			})
		}},
		{kind, "a body that is too large", "", func(ctx context.Context, s *fixture) error {
			return refused(s.editor.post(ctx, maps, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"big"},"data":{"a":"`+strings.Repeat("x", 4<<20)+`"}}`), 413)
		}},
		{kind, "a patch of too many operations", "", func(ctx context.Context, s *fixture) error {
			ops := strings.TrimSuffix(strings.Repeat(`{"op":"test","path":"/kind","value":"ConfigMap"},`, 10001), ",")
			return refused(s.editor.send(ctx, http.MethodPatch, maps+"/seed", "application/json-patch+json", "["+ops+"]"), 413)
		}},
		{kind, "depth", "", func(ctx context.Context, s *fixture) error {
			deep := strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000)
			list := strings.Repeat("[", 200000)
			return s.withinMemory(ctx, func() error {
				return each(refused(s.editor.post(ctx, maps, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"deep"},"x":`+deep+`}`), 400, 413, 422),
					refused(s.editor.send(ctx, http.MethodPatch, maps+"/seed", "application/merge-patch+json", `{"x":`+deep+`}`), 400, 413, 422),
					refused(s.editor.send(ctx, http.MethodPost, maps, "application/yaml", "a: "+list), 400, 413, 422),
					refused(s.editor.send(ctx, http.MethodPatch, maps+"/deep?fieldManager=x", "application/apply-patch+yaml", "a: "+list), 400, 413, 422))
			})
		}},
		{kind, "annotations without end", "", func(ctx context.Context, s *fixture) error {
			return refused(s.editor.post(ctx, maps, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"noted","annotations":{"a":"`+strings.Repeat("x", 300<<10)+`"}}}`), 422)
		}},
		{kind, "a role whose rules multiply", "", func(ctx context.Context, s *fixture) error {
			many := func(prefix string) string {
				var b strings.Builder
				for i := range 300 {
					fmt.Fprintf(&b, `,"%s%d"`, prefix, i)
				}
				return "[" + b.String()[1:] + "]"
			}
			rule := fmt.Sprintf(`{"apiGroups":%s,"resources":%s,"verbs":%s}`, many("g"), many("r"), many("v"))
			return s.withinMemory(ctx, func() error {
				return refused(s.owner.post(ctx, ownRoles+"/roles", `{"kind":"Role","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"wide"},"rules":[`+rule+`]}`), 403, 413, 422)
			})
		}},
		{kind, "a protobuf of false lengths", "", func(ctx context.Context, s *fixture) error {
			return refused(s.editor.send(ctx, http.MethodPost, maps, "application/vnd.kubernetes.protobuf", "k8s\x00\x0a\xff\xff\xff\xff\x7f"), 400, 415)
		}},
	}
}

// withinMemory is an error when the server grows by more than 400 MiB meanwhile.
func (s *fixture) withinMemory(ctx context.Context, do func() error) error {
	before, err := s.peak(ctx)
	if err != nil {
		return err
	}
	doErr := do()
	after, err := s.peak(ctx)
	if err != nil {
		return each(doErr, fmt.Errorf("the server is gone: %w", err))
	}
	if grown := after - before; grown > 400<<10 {
		return fmt.Errorf("the server grew by %d MiB", grown>>10)
	}
	return doErr
}

// peak is the most memory that the server has had, in KiB.
func (s *fixture) peak(ctx context.Context) (int, error) {
	pid, err := s.cluster.pid(ctx, "server")
	if err != nil {
		return 0, err
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		var n int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &n); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}

// diskAttacks have a pod reach files of the machine that runs the node.
func diskAttacks() []attack {
	const kind = "a path that leads out of the node's disk"
	outside := func(s *fixture) string { return filepath.Join(s.dir, "outside") }
	volumes := func(path string) string {
		return fmt.Sprintf(`"volumes":[{"name":"v","hostPath":{"path":%q}}]`, path)
	}
	return []attack{
		{kind, "a link in a hostPath", "CVE-2021-25741", func(ctx context.Context, s *fixture) error {
			if err := os.WriteFile(outside(s), []byte(privateValue), 0o600); err != nil {
				return err
			}
			link := fmt.Sprintf("mkdir -p /v/plain; ln -sfn %s /v/link; ln -sfn ../../../../../../../../../../../..%s /v/up; ln -sfn /proc/1/root%s /v/proc; sleep 10000", s.dir, s.dir, s.dir)
			if err := s.pod(ctx, "linker", volumes("/srv/shared"), "", link); err != nil {
				return err
			}
			defer s.remove(ctx, "linker")
			for _, path := range []string{"/srv/shared/link", "/srv/shared/up", "/srv/shared/proc", "/srv/shared/plain/../link"} {
				if err := s.cannotRead(ctx, volumes(path), "", "/v/outside"); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
			return nil
		}},
		{kind, "a link in a subPath", "CVE-2017-1002101", func(ctx context.Context, s *fixture) error {
			for _, sub := range []string{"link", "up", "proc"} {
				if err := s.cannotRead(ctx, volumes("/srv/shared"), fmt.Sprintf(`,"subPath":%q`, sub), "/v/outside"); err != nil {
					return fmt.Errorf("%s: %w", sub, err)
				}
			}
			return nil
		}},
		{kind, "dots in volumes", "", func(ctx context.Context, s *fixture) error {
			pods := "/api/v1/namespaces/" + own + "/pods"
			body := `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"dots"},"spec":{%s,"containers":[{"name":"c","image":"busybox","volumeMounts":[{"name":"v","mountPath":"/v"%s}]}]}}`
			return each(refused(s.admin.post(ctx, pods, fmt.Sprintf(body, volumes("/srv"), `,"subPath":"../../etc"`)), 422),
				refused(s.admin.post(ctx, pods, fmt.Sprintf(body, volumes("/srv/../../../.."), "")), 422),
				refused(s.admin.post(ctx, pods, fmt.Sprintf(body, `"volumes":[{"name":"v","configMap":{"name":"c","items":[{"key":"k","path":"../../x"}]}}]`, "")), 422),
				refused(s.admin.post(ctx, pods, fmt.Sprintf(body, `"volumes":[{"name":"v","gitRepo":{"repository":"x","directory":"../.."}}]`, "")), 422))
		}},
		{kind, "options in a repository's name", "CVE-2024-10220", func(ctx context.Context, s *fixture) error {
			made := filepath.Join(s.dir, "made-by-git")
			for i, repository := range []string{"--upload-pack=touch " + made, "ext::sh -c touch% " + made, "-c core.fsmonitor=touch " + made, "file:///" + s.dir} {
				name := fmt.Sprintf("git-%d", i)
				body := fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q},"spec":{"nodeName":"minion-1","volumes":[{"name":"v","gitRepo":{"repository":%q}}],"containers":[{"name":"c","image":"busybox","command":["sleep","1000"],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}`, name, repository)
				r := s.admin.post(ctx, "/api/v1/namespaces/"+own+"/pods", body)
				if r.code == http.StatusCreated {
					err := s.eventOf(ctx, name, "FailedMount")
					s.remove(ctx, name)
					if err != nil {
						return err
					}
				}
				if _, err := os.Stat(made); err == nil {
					return fmt.Errorf("%s ran a command on the node", repository)
				}
			}
			return nil
		}},
		{kind, "a termination message that is a link", "", func(ctx context.Context, s *fixture) error {
			command := fmt.Sprintf("rm -f /v/message; ln -s %s /v/message; exit 1", outside(s))
			body := fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"message-link"},"spec":{"nodeName":"minion-1","restartPolicy":"Never","volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"c","image":"busybox","terminationMessagePath":"/v/message","command":["sh","-c",%q],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}`, command)
			if r := s.admin.post(ctx, "/api/v1/namespaces/"+own+"/pods", body); r.code != http.StatusCreated {
				return fmt.Errorf("preparing: %v", r)
			}
			defer s.remove(ctx, "message-link")
			var last response
			err := until(ctx, time.Minute, "the pod to end", func() (string, bool, error) {
				last = s.admin.get(ctx, "/api/v1/namespaces/"+own+"/pods/message-link")
				return last.String(), strings.Contains(last.body, `"phase":"Failed"`), nil
			})
			if strings.Contains(last.body, privateValue) {
				return fmt.Errorf("the file is in the status: %v", last)
			}
			return err
		}},
		{kind, "a command that is a descriptor of the runtime", "CVE-2024-21626", func(ctx context.Context, s *fixture) error {
			for _, dir := range []string{"/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/fd/9"} {
				body := fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"leak"},"spec":{"nodeName":"minion-1","restartPolicy":"Never","containers":[{"name":"c","image":"busybox","workingDir":%q,"command":["sh","-c","cat ../../../../../..%s; cat ../../../../..%s; true"]}]}}`, dir, outside(s), outside(s))
				r := s.admin.post(ctx, "/api/v1/namespaces/"+own+"/pods", body)
				if r.code != http.StatusCreated {
					continue
				}
				err := s.finished(ctx, "leak")
				log := s.admin.get(ctx, "/api/v1/namespaces/"+own+"/pods/leak/log")
				s.remove(ctx, "leak")
				if err != nil || strings.Contains(log.body, privateValue) {
					return fmt.Errorf("%s: %v, %w", dir, log, err)
				}
			}
			return nil
		}},
	}
}

// pod starts a pod on minion-1 in own, with the volume v at /v, and waits until it runs.
func (s *fixture) pod(ctx context.Context, name, volumes, mount, command string) error {
	body := fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":%q},"spec":{"nodeName":"minion-1",%s,"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"busybox","command":["sh","-c",%q],"volumeMounts":[{"name":"v","mountPath":"/v"%s}]}]}}`, name, volumes, command, mount)
	if r := s.admin.post(ctx, "/api/v1/namespaces/"+own+"/pods", body); r.code != http.StatusCreated {
		return fmt.Errorf("preparing: %v", r)
	}
	return s.running(ctx, own, name)
}

func (s *fixture) remove(ctx context.Context, name string) {
	path := "/api/v1/namespaces/" + own + "/pods/" + name
	s.admin.delete(ctx, path+"?gracePeriodSeconds=0")
	// What stays shows as a conflict in the next attack of the name.
	_ = until(ctx, 20*time.Second, "pod "+name+" to be gone", func() (string, bool, error) {
		r := s.admin.get(ctx, path)
		return r.String(), r.code == http.StatusNotFound, nil
	})
}

// cannotRead starts a pod with the volume and reads a file there: the pod does not start,
// or the file is not the machine's.
func (s *fixture) cannotRead(ctx context.Context, volumes, mount, file string) error {
	body := fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"reader"},"spec":{"nodeName":"minion-1","restartPolicy":"Never",%s,"containers":[{"name":"c","image":"busybox","command":["sh","-c","cat %s; true"],"volumeMounts":[{"name":"v","mountPath":"/v"%s}]}]}}`, volumes, file, mount)
	r := s.admin.post(ctx, "/api/v1/namespaces/"+own+"/pods", body)
	if r.code == http.StatusUnprocessableEntity {
		return nil
	}
	if r.code != http.StatusCreated {
		return fmt.Errorf("preparing: %v", r)
	}
	defer s.remove(ctx, "reader")
	if err := s.finished(ctx, "reader"); err != nil {
		return err
	}
	log := s.admin.get(ctx, "/api/v1/namespaces/"+own+"/pods/reader/log")
	if strings.Contains(log.body, privateValue) {
		return fmt.Errorf("the machine's file was read")
	}
	return nil
}

// finished waits until a pod has run, or cannot run: an event says why.
func (s *fixture) finished(ctx context.Context, name string) error {
	path := "/api/v1/namespaces/" + own + "/pods/" + name
	return until(ctx, time.Minute, "pod "+name+" to end or to be refused", func() (string, bool, error) {
		r := s.admin.get(ctx, path)
		for _, end := range []string{`"phase":"Succeeded"`, `"phase":"Failed"`, `CreateContainerError`, `CreateContainerConfigError`, `RunContainerError`} {
			if strings.Contains(r.body, end) {
				return r.String(), true, nil
			}
		}
		return r.String(), s.event(ctx, name, "Failed"), nil
	})
}

func (s *fixture) event(ctx context.Context, pod, reason string) bool {
	r := s.admin.get(ctx, "/api/v1/namespaces/"+own+"/events?fieldSelector=involvedObject.name%3D"+pod)
	return strings.Contains(r.body, `"reason":"`+reason)
}

func (s *fixture) eventOf(ctx context.Context, pod, reason string) error {
	return until(ctx, time.Minute, "event "+reason+" of pod "+pod, func() (string, bool, error) {
		return s.admin.get(ctx, "/api/v1/namespaces/"+own+"/events?fieldSelector=involvedObject.name%3D"+pod).String(), s.event(ctx, pod, reason), nil
	})
}

// secretAttacks read secrets beside the API.
func secretAttacks() []attack {
	const kind = "secrets beside the API"
	return []attack{
		{kind, "files of the cluster that others may read", "", func(_ context.Context, s *fixture) error {
			root := filepath.Dir(s.cluster.kubeconfig)
			info, err := os.Stat(root)
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o007 == 0 {
				return nil // nobody else comes in
			}
			return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
				if err != nil {
					return err
				}
				if d.IsDir() && d.Name() == "disk" { // the node's own disk, whose files are the pods'
					return filepath.SkipDir
				}
				info, err := d.Info()
				if err != nil {
					return err
				}
				secret := strings.HasSuffix(path, ".key") || strings.HasSuffix(path, ".kubeconfig") || strings.HasSuffix(path, ".db") || strings.HasSuffix(path, ".wal")
				if secret && info.Mode().Perm()&0o044 != 0 {
					return fmt.Errorf("%s has mode %v", path, info.Mode())
				}
				return nil
			})
		}},
		{kind, "etcd from a pod and from the machine", "", func(ctx context.Context, s *fixture) error {
			for _, address := range []string{addressOf(s.master), "127.0.0.1"} {
				for _, port := range []string{"2379", "2380"} {
					c := *s.anonymous
					for _, scheme := range []string{"http://", "https://"} {
						c.host = scheme + address + ":" + port
						if r := c.get(ctx, "/version"); r.err == nil && r.code == http.StatusOK {
							return fmt.Errorf("etcd answers: %v", r)
						}
					}
				}
			}
			return nil
		}},
		{kind, "secrets in logs, events, metrics and processes", "", func(ctx context.Context, s *fixture) error {
			root := filepath.Dir(s.cluster.kubeconfig)
			out, err := exec.CommandContext(ctx, "grep", "-rlF", "--include=*.log", "-e", privateValue, "-e", s.nobody.token, root).Output()
			if len(out) > 0 {
				return fmt.Errorf("these files hold them: %s", out)
			}
			if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
				return err
			}
			for _, path := range []string{"/metrics", "/api/v1/events"} {
				if r := s.admin.get(ctx, path); strings.Contains(r.body, privateValue) || strings.Contains(r.body, s.nobody.token) {
					return fmt.Errorf("%s holds them", path)
				}
			}
			return nil
		}},
		{kind, "a secret in the last-applied annotation of another kind", "", func(ctx context.Context, s *fixture) error {
			return each(refused(s.viewer.get(ctx, "/api/v1/namespaces/"+own+"/secrets")), refused(s.viewer.get(ctx, "/apis/apps/v1/namespaces/"+victim+"/deployments")))
		}},
	}
}
