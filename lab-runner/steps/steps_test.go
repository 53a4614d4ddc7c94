package steps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gherkin "github.com/cucumber/gherkin/go/v26"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

// Each sentence of the labs' features is known, and known once.
func TestEverySentenceMatchesOneStep(t *testing.T) {
	t.Parallel()
	tracks, err := filepath.Glob("../../labs/*/*/lab.yaml")
	if err != nil || len(tracks) == 0 {
		t.Fatal(tracks, err)
	}
	var paths []string
	for _, path := range tracks {
		dir := filepath.Dir(path)
		_, name, _ := strings.Cut(filepath.Base(dir), "-")
		paths = append(paths, filepath.Join("../../features", filepath.Base(filepath.Dir(dir)), name+".feature"))
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		id := 0
		newID := func() string { id++; return strconv.Itoa(id) }
		doc, err := gherkin.ParseGherkinDocument(f, newID)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, pickle := range gherkin.Pickles(*doc, path, newID) {
			for _, step := range pickle.Steps {
				var found []string
				for _, s := range Table(&World{}) {
					if regexp.MustCompile(s.Pattern).MatchString(step.Text) {
						found = append(found, s.Pattern)
					}
				}
				if len(found) != 1 {
					t.Errorf("%s: %q matches %d steps: %q", path, step.Text, len(found), found)
				}
			}
		}
	}
}

// stored is Objects of a clientset without a server.
type stored struct{ *fake.Clientset }

func fakeObjects(objects ...runtime.Object) stored { return stored{fake.NewClientset(objects...)} }

func (s stored) Get(_ context.Context, resource, namespace, name string, into runtime.Object) error {
	found, err := s.Tracker().Get(corev1.SchemeGroupVersion.WithResource(resource), namespace, name)
	if err == nil {
		reflect.ValueOf(into).Elem().Set(reflect.ValueOf(found).Elem())
	}
	return err
}

func (s stored) List(_ context.Context, resource, namespace string, opts metav1.ListOptions, into runtime.Object) error {
	kind := strings.TrimSuffix(reflect.TypeOf(into).Elem().Name(), "List")
	found, err := s.Tracker().List(corev1.SchemeGroupVersion.WithResource(resource), corev1.SchemeGroupVersion.WithKind(kind), namespace)
	if err != nil {
		return err
	}
	selector, err := labels.Parse(opts.LabelSelector)
	if err != nil {
		return err
	}
	all, err := meta.ExtractList(found)
	if err != nil {
		return err
	}
	return meta.SetList(into, slices.DeleteFunc(all, func(o runtime.Object) bool {
		return !selector.Matches(labels.Set(o.(metav1.Object).GetLabels()))
	}))
}

func world(t *testing.T, patience time.Duration) *World {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns", Labels: map[string]string{"app": "web"}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "c", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull"}},
		}}},
	}
	event := func(name, kind, reason string, at time.Time) *corev1.Event {
		return &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: name, Namespace: "ns"},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "web"},
			Type:           kind, Reason: reason, Message: "about " + reason, LastTimestamp: metav1.NewTime(at),
		}
	}
	now := time.Now()
	return &World{
		Client: fakeObjects(pod, event("a", "Warning", "Failed", now.Add(-time.Minute)), event("b", "Normal", "Scheduled", now)),
		Dir:    t.TempDir(), Env: os.Environ(), Namespace: "ns", Patience: patience,
	}
}

func TestAFailureTellsWhatToKnow(t *testing.T) {
	err := world(t, 300*time.Millisecond).podReady(t.Context(), "web")
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"wanted: pod web Running and ready", "seen:   web Pending, not ready, c ErrImageNeverPull", "since:  ", "event:  Warning Failed pod/web: about Failed", "try:    kubectl describe pod/web"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%s", want, err)
		}
	}
	if time.Since(f.Since) < 200*time.Millisecond {
		t.Errorf("seen so since %v, which is when it was last looked at", f.Since)
	}
}

// Of endpoints and ready pods that agree and are too few, the failure has the number: two equal lists say nothing.
func TestTooFewEndpoints(t *testing.T) {
	w := world(t, time.Millisecond)
	w.Client = fakeObjects(
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns", Labels: map[string]string{"app": "web"}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.1.1.2", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		},
		&corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns"}, Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "10.1.1.2"}}}}},
	)
	err := w.endpointsMatch(t.Context(), "web", 2, "app=web")
	if err == nil || !strings.Contains(err.Error(), "seen:   1 ready pods, not 2; endpoints [10.1.1.2]") {
		t.Errorf("%v", err)
	}
	if err := w.endpointsMatch(t.Context(), "web", 1, "app=web"); err != nil {
		t.Error(err)
	}
}

func TestAStepWaitsForItsCondition(t *testing.T) {
	w := world(t, 10*time.Second)
	waited := 0
	w.OnWait = func(_, seen string, _ time.Time) {
		if waited++; waited == 3 {
			if err := w.Client.(stored).Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "ns", "web"); err != nil {
				t.Error(err)
			}
		}
	}
	if err := w.podGone(t.Context(), "web"); err != nil || waited < 3 {
		t.Errorf("%v after %d looks", err, waited)
	}
	if err := w.noPods(t.Context(), "app=web"); err != nil {
		t.Error(err)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	w := world(t, 200*time.Millisecond)
	held := []struct {
		name string
		err  error
	}{
		{"prints", w.prints(t.Context(), "echo hello world", "lo wor")},
		{"late", func() error {
			w.Patience = 5 * time.Second
			return w.prints(t.Context(), "echo x >>n; wc -l <n", "4")
		}()},
		{"nothing", w.printsNothing(t.Context(), "true")},
		{"columns", w.printsColumns(t.Context(), "echo 'A   B  C'", "A B C")},
		{"line", w.printsLine(t.Context(), "printf 'x\\nab 1\\n'", "^ab +[0-9]$")},
		{"fails", w.failsWith(t.Context(), "echo no such thing >&2; exit 3", "no such")},
	}
	for _, c := range held {
		if c.err != nil {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
	w.Patience = 200 * time.Millisecond
	broken := []struct {
		name string
		err  error
	}{
		{"other text", w.prints(t.Context(), "echo hello", "world")},
		{"right text, wrong end", w.prints(t.Context(), "echo hello; false", "hello")},
		{"fails but does not", w.failsWith(t.Context(), "echo hello", "hello")},
		{"missing column", w.printsColumns(t.Context(), "echo 'A B'", "A B C")},
		{"something", w.printsNothing(t.Context(), "echo x")},
	}
	for _, c := range broken {
		if c.err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	w.Patience = time.Minute
	if err := w.prints(ctx, "sleep 60", "x"); err == nil || ctx.Err() == nil || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("a command that hangs: %v", err)
	}
	var late *Failure
	if err := w.failsWith(ctx, "sleep 60", ""); !errors.As(err, &late) || !late.Unknown {
		t.Errorf("a command that hangs: %v, want that nothing is known", err)
	}
	if !errors.As(broken[0].err, &late) || late.Unknown {
		t.Errorf("a command that prints something else: %v, want that it is known", broken[0].err)
	}
}

func TestInOrder(t *testing.T) {
	out := "Name:   web\nStatus:     Running\nEvents:\n  Scheduled\n"
	if !inOrder(out, "Name: web\nEvents:\nScheduled") {
		t.Error("lines in order are not found")
	}
	if inOrder(out, "Events:\nName: web") {
		t.Error("lines out of order are found")
	}
}
