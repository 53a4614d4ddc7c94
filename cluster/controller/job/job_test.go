package job

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var now = time.Unix(1_000_000, 0)

func ptr[T any](v T) *T { return &v }

type edit = func(*batch.Job)

func newJob(completions, parallelism int32, edits ...edit) *batch.Job {
	j := &batch.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "work", UID: "1"}}
	j.Spec = batch.JobSpec{Parallelism: &parallelism, BackoffLimit: ptr(int32(6)), CompletionMode: ptr(batch.NonIndexedCompletion)}
	if completions >= 0 {
		j.Spec.Completions = &completions
	}
	j.Spec.Template.Spec = v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c"}}}
	j.Status.StartTime = &metav1.Time{Time: now.Add(-time.Hour)}
	for _, e := range edits {
		e(j)
	}
	return j
}

func asIndexed(j *batch.Job) { j.Spec.CompletionMode = ptr(batch.IndexedCompletion) }
func limit(n int32) edit     { return func(j *batch.Job) { j.Spec.BackoffLimit = &n } }
func suspend(j *batch.Job)   { j.Spec.Suspend = ptr(true) }

func limitPerIndex(n int32) edit {
	return func(j *batch.Job) {
		asIndexed(j)
		j.Spec.BackoffLimitPerIndex, j.Spec.BackoffLimit = &n, ptr(int32(1000))
	}
}

func replaceOnlyFailed(j *batch.Job) { j.Spec.PodReplacementPolicy = ptr(batch.Failed) }

func rules(r ...batch.PodFailurePolicyRule) edit {
	return func(j *batch.Job) { j.Spec.PodFailurePolicy = &batch.PodFailurePolicy{Rules: r} }
}

func onExit(a batch.PodFailurePolicyAction, op batch.PodFailurePolicyOnExitCodesOperator, codes ...int32) batch.PodFailurePolicyRule {
	return batch.PodFailurePolicyRule{Action: a, OnExitCodes: &batch.PodFailurePolicyOnExitCodesRequirement{Operator: op, Values: codes}}
}

// pods reads "a:run b:ok c:bad:exit=3:at=5 d:run:going": a name, how it goes, and
// more of it. free says that it is counted already; i= is an index.
func pods(j *batch.Job, words string) (out []*v1.Pod) {
	for n, w := range strings.Fields(words) {
		parts := strings.Split(w, ":")
		b := podIdentity{index: noIndex}
		var at, exit, fails int
		for _, p := range parts {
			_, _ = fmt.Sscanf(p, "i=%d", &b.index)
			_, _ = fmt.Sscanf(p, "ago=%d", &at)
			_, _ = fmt.Sscanf(p, "exit=%d", &exit)
			_, _ = fmt.Sscanf(p, "fails=%d", &fails)
		}
		b.failures = fails
		p := podFor(j, b)
		p.Name, p.UID, p.Namespace = parts[0], types.UID(parts[0]), "ns"
		p.Spec.NodeName = "n1"
		p.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(n-1000) * time.Second))
		p.Status.Phase = v1.PodRunning
		ended := v1.ContainerStatus{Name: "c", State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: int32(exit), FinishedAt: metav1.NewTime(now.Add(-time.Duration(at) * time.Second)),
		}}}
		for _, part := range parts[1:] {
			switch part {
			case "ok":
				p.Status.Phase = v1.PodSucceeded
				p.Status.ContainerStatuses = []v1.ContainerStatus{ended}
			case "bad":
				p.Status.Phase = v1.PodFailed
				p.Status.ContainerStatuses = []v1.ContainerStatus{ended}
			case "going":
				p.DeletionTimestamp = ptr(metav1.NewTime(now))
			case "now":
				p.DeletionGracePeriodSeconds = ptr(int64(0))
			case "unbound":
				p.Status.Phase, p.Spec.NodeName = v1.PodPending, ""
			case "free":
				p.Finalizers = nil
			case "ready":
				p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
			case "evicted":
				p.Status.Conditions = []v1.PodCondition{{Type: v1.DisruptionTarget, Status: v1.ConditionTrue}}
			}
		}
		out = append(out, p)
	}
	return out
}

func showStep(d step) string {
	var out []string
	for _, b := range d.create {
		text := "new"
		if b.index != noIndex {
			text += strconv.Itoa(b.index)
		}
		if b.failures+b.ignored > 0 {
			text += fmt.Sprintf("(%d,%d)", b.failures, b.ignored)
		}
		out = append(out, text)
	}
	for _, p := range d.delete {
		out = append(out, "-"+p.Name)
	}
	if d.requeueAfter > 0 {
		out = append(out, "wait "+d.requeueAfter.String())
	}
	if d.finish != nil {
		out = append(out, fmt.Sprintf("%s %s", d.finish.Type, d.finish.Reason))
	}
	return strings.Join(out, " ")
}

func TestDecide(t *testing.T) {
	ignoreEvictions := batch.PodFailurePolicyRule{Action: batch.PodFailurePolicyActionIgnore, OnPodConditions: []batch.PodFailurePolicyOnPodConditionsPattern{
		{Type: v1.DisruptionTarget, Status: v1.ConditionTrue},
	}}
	status := func(f func(*batch.JobStatus)) edit { return func(j *batch.Job) { f(&j.Status) } }
	deadline := func(n int64) edit { return func(j *batch.Job) { j.Spec.ActiveDeadlineSeconds = &n } }
	tests := []struct {
		name string
		job  *batch.Job
		pods string
		want string
	}{
		{"one", newJob(1, 1), "", "new"},
		{"running", newJob(1, 1), "a:run", ""},
		{"done", newJob(1, 1), "a:ok", "SuccessCriteriaMet CompletionsReached"},
		{"done and counted", newJob(1, 1, status(func(s *batch.JobStatus) { s.Succeeded = 1 })), "a:ok:free", "SuccessCriteriaMet CompletionsReached"},
		{"done and half counted", newJob(1, 1, status(func(s *batch.JobStatus) {
			s.UncountedTerminatedPods = &batch.UncountedTerminatedPods{Succeeded: []types.UID{"a"}}
		})), "a:ok", "SuccessCriteriaMet CompletionsReached"},
		{"nothing to do", newJob(0, 1), "", "SuccessCriteriaMet CompletionsReached"},
		{"as many as may", newJob(5, 2), "a:run", "new"},
		{"no more than needed", newJob(5, 4), "a:ok b:ok c:ok d:run", "new"},
		{"too many for what is left", newJob(2, 2), "a:ok b:run c:run:ready", "-b"},
		{"half deleted", newJob(5, 2), "a:run:free b:run", "-a"},
		{"fewer are wanted", newJob(5, 1), "a:run b:run:ready", "-a"},
		{"a queue", newJob(-1, 3), "", "new new new"},
		{"a queue, one found it empty", newJob(-1, 3), "a:ok b:run", ""},
		{"a queue, all have ended", newJob(-1, 3), "a:ok b:ok", "SuccessCriteriaMet CompletionsReached"},

		{"failed: not at once", newJob(1, 1), "a:bad:ago=4", "wait 6s"},
		{"failed: again", newJob(1, 1), "a:bad:ago=10", "new"},
		{"failed thrice", newJob(1, 1), "a:bad:ago=90 b:bad:ago=60 c:bad:ago=10", "wait 30s"},
		{"a success ends the waiting", newJob(3, 1), "a:bad:ago=9 b:bad:ago=8 c:ok:ago=7", "new"},
		{"too often", newJob(1, 2, limit(1)), "a:bad b:bad c:run", "-c FailureTarget BackoffLimitExceeded"},
		{"too often, counted before", newJob(1, 1, limit(1), status(func(s *batch.JobStatus) { s.Failed = 1 })), "a:bad:free b:bad", "FailureTarget BackoffLimitExceeded"},
		{"never again", newJob(1, 1, limit(0)), "a:bad", "FailureTarget BackoffLimitExceeded"},
		{"somebody deletes it", newJob(1, 1), "a:run:going:ago=20", "wait 10s"},
		{"only failed are replaced", newJob(1, 1, replaceOnlyFailed), "a:run:going", ""},
		{"only failed are replaced; it never had a node", newJob(1, 1, replaceOnlyFailed), "a:unbound:going", "wait 10s"},

		{"only failed are replaced; its kubelet says it is gone", newJob(1, 1, replaceOnlyFailed), "a:run:going:now", "wait 10s"},

		{"in time", newJob(1, 1, deadline(4000)), "a:run", "wait 6m40s"},
		{"late", newJob(1, 1, deadline(3600)), "a:run", "-a FailureTarget DeadlineExceeded"},
		{"late, but suspended", newJob(1, 1, deadline(3600), suspend), "a:run", "-a"},
		{"suspended", newJob(3, 3, suspend), "", ""},
		{"late, but deleted", newJob(1, 1, deadline(3600), func(j *batch.Job) { j.DeletionTimestamp = &metav1.Time{Time: now} }), "a:run", ""},

		{"indexes", newJob(3, 2, asIndexed), "", "new0 new1"},
		{"the index that failed", newJob(3, 2, asIndexed), "a:bad:i=1:ago=10 b:run:i=0", "new1"},
		{"indexes that are done", newJob(4, 2, asIndexed, status(func(s *batch.JobStatus) { s.CompletedIndexes, s.Succeeded = "0,2", 2 })), "b:ok:i=1:ago=1", "new3"},
		{"two of one index", newJob(3, 3, asIndexed), "a:run:i=0 b:run:i=0 c:run:i=1", "-b"},
		{"fewer completions", newJob(1, 3, asIndexed), "a:run:i=0 b:run:i=1", "-b"},
		{"all indexes", newJob(2, 2, asIndexed), "a:ok:i=0 b:ok:i=1", "SuccessCriteriaMet CompletionsReached"},
		{"one index twice is one", newJob(2, 2, asIndexed), "a:ok:i=0 b:ok:i=0:ago=5", "new1"},

		{"per index: waits alone", newJob(2, 2, limitPerIndex(1)), "a:bad:i=0:ago=1", "new1 wait 9s"},
		{"per index: again", newJob(2, 2, limitPerIndex(1)), "a:bad:i=0:ago=11 b:run:i=1", "new0(1,0)"},
		{"per index: over, the other goes on", newJob(2, 2, limitPerIndex(1)), "a:bad:i=0:fails=1 b:run:i=1", ""},
		{"per index: over, nothing is left", newJob(2, 2, limitPerIndex(1)), "a:bad:i=0:fails=1 b:ok:i=1", "FailureTarget FailedIndexes"},
		{"per index: too many", newJob(3, 3, limitPerIndex(0), func(j *batch.Job) { j.Spec.MaxFailedIndexes = ptr(int32(1)) }), "a:bad:i=0 b:bad:i=1 c:run:i=2", "-c FailureTarget MaxFailedIndexesExceeded"},
		{"per index: evicted", newJob(1, 1, limitPerIndex(0), rules(ignoreEvictions)), "a:bad:i=0:evicted:ago=11", "new0(0,1)"},
		{"per index: for good", newJob(2, 2, limitPerIndex(5), rules(onExit(batch.PodFailurePolicyActionFailIndex, "In", 42))), "a:bad:i=0:exit=42 b:run:i=1", ""},

		{"policy: the job fails", newJob(1, 1, rules(onExit(batch.PodFailurePolicyActionFailJob, "In", 42))), "a:bad:exit=42", "FailureTarget PodFailurePolicy"},
		{"policy: not so", newJob(1, 1, rules(onExit(batch.PodFailurePolicyActionFailJob, "NotIn", 42))), "a:bad:exit=42:ago=10", "new"},
		{"policy: evictions do not count", newJob(1, 1, limit(0), rules(ignoreEvictions)), "a:bad:evicted:exit=1", "new"},

		{"success policy: the leader", newJob(3, 3, asIndexed, func(j *batch.Job) {
			j.Spec.SuccessPolicy = &batch.SuccessPolicy{Rules: []batch.SuccessPolicyRule{{SucceededIndexes: ptr("0")}}}
		}), "a:ok:i=0 b:run:i=1 c:run:i=2", "-b -c SuccessCriteriaMet SuccessPolicy"},
		{"what is decided stays", newJob(1, 1, status(func(s *batch.JobStatus) {
			s.Conditions = []batch.JobCondition{{Type: batch.JobFailureTarget, Status: v1.ConditionTrue, Reason: "Why"}}
		})), "a:ok b:run", "-b FailureTarget Why"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := showStep(newSnapshot(tt.job, pods(tt.job, tt.pods), true, now).decide()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRestartsCountWhereContainersRestart(t *testing.T) {
	for restarts, want := range map[int32]string{0: "", 1: "", 2: "-a FailureTarget BackoffLimitExceeded"} {
		j := newJob(1, 1, limit(2), func(j *batch.Job) { j.Spec.Template.Spec.RestartPolicy = v1.RestartPolicyOnFailure })
		p := pods(j, "a:run")
		p[0].Status.ContainerStatuses = []v1.ContainerStatus{{RestartCount: restarts}}
		if got := showStep(newSnapshot(j, p, true, now).decide()); got != want {
			t.Errorf("%d restarts: got %q, want %q", restarts, got, want)
		}
	}
}

func TestPodOfAnIndex(t *testing.T) {
	j := newJob(3, 1, limitPerIndex(3), func(j *batch.Job) {
		c := &j.Spec.Template.Spec
		c.InitContainers = []v1.Container{{Name: "i"}}
		c.Containers = append(c.Containers, v1.Container{Name: "own", Env: []v1.EnvVar{{Name: indexEnv, Value: "mine"}}})
	})
	p := podFor(j, podIdentity{index: 2, failures: 1})
	if p.GenerateName != "work-2-" || p.Spec.Hostname != "work-2" || p.Labels[indexLabel] != "2" || p.Annotations[indexLabel] != "2" ||
		p.Annotations[batch.JobIndexFailureCountAnnotation] != "1" || !slices.Equal(p.Finalizers, []string{batch.JobTrackingFinalizer}) {
		t.Errorf("%+v", p)
	}
	for _, c := range []v1.Container{p.Spec.InitContainers[0], p.Spec.Containers[0]} {
		if len(c.Env) != 1 || c.Env[0].ValueFrom.FieldRef.FieldPath != "metadata.labels['batch.kubernetes.io/job-completion-index']" {
			t.Errorf("%s: %v", c.Name, c.Env)
		}
	}
	if own := p.Spec.Containers[1].Env; len(own) != 1 || own[0].Value != "mine" {
		t.Errorf("the container's own: %v", own)
	}
}

func TestIndexes(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""}, {"0", "0"}, {"0,1", "0,1"}, {"0,1,2", "0-2"}, {"5,1-3,4", "1-5"}, {"7-9", "7-9"}, {"8-20", "8,9"}, {"x,3", "3"},
	}
	for _, tt := range tests {
		if got := parseIndexes(tt.in, 10).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
	s := parseIndexes("1-3,7", 10)
	if s.total() != 4 || !s.has(3) || !s.has(7) || s.has(0) || s.has(4) || s.has(8) {
		t.Errorf("%v", s)
	}
	if got := s.with(4, 5, 7, 0).String(); got != "0-5,7" {
		t.Errorf("with: %s", got)
	}
	if got := s.both(parseIndexes("2-7", 10)).String(); got != "2,3,7" {
		t.Errorf("both: %s", got)
	}
}
