package kubectl

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestWhichRun(t *testing.T) {
	for _, tc := range []struct {
		args string
		year kubectlYear
		old  bool
	}{
		{"nginx --image=nginx", today, false},
		{"nginx --image=nginx --expose --port=80", today, false},
		{"nginx --image=nginx --replicas=3", today, true},
		{"nginx --image=nginx --generator run/v1", today, true},
		{"nginx --image=nginx -- sleep --replicas=3", today, false},
		{"nginx --image=nginx", year2016, true},
		{"-it nginx --image=busybox", year2016, false},
	} {
		if got := isLegacyRun(strings.Fields(tc.args), tc.year); got != tc.old {
			t.Errorf("run %s in %d: old is %v", tc.args, tc.year, got)
		}
	}
}

func TestRunMakes(t *testing.T) {
	o := &runOptions{image: "nginx:1.9", port: "80", replicas: 3, expose: true, restart: "Always", requests: "cpu=100m", env: []string{"A=b"}}
	if err := o.complete([]string{"my-nginx"}, today); err != nil {
		t.Fatal(err)
	}
	objects, err := o.objects()
	if err != nil {
		t.Fatal(err)
	}
	service, ok := objects[0].(*corev1.Service)
	if !ok || service.Name != "my-nginx" || service.Spec.Selector["run"] != "my-nginx" || service.Spec.Ports[0].Port != 80 {
		t.Errorf("first is %+v, want the service", objects[0])
	}
	d, ok := objects[1].(*appsv1.Deployment)
	if !ok || *d.Spec.Replicas != 3 || d.Spec.Selector.MatchLabels["run"] != "my-nginx" || d.Spec.Template.Labels["run"] != "my-nginx" {
		t.Fatalf("second is %+v, want the deployment", objects[1])
	}
	c := d.Spec.Template.Spec.Containers[0]
	if c.Image != "nginx:1.9" || c.Ports[0].ContainerPort != 80 || c.Env[0].Value != "b" || c.Resources.Requests.Cpu().String() != "100m" {
		t.Errorf("container %+v", c)
	}
	if n := o.note(); strings.Contains(n, "\n") || !strings.Contains(n, "create deployment my-nginx --image=nginx:1.9 --replicas=3 --port=80") || !strings.Contains(n, "kubectl expose deployment my-nginx --port=80") {
		t.Errorf("note %q", n)
	}
}

func TestRunGenerators(t *testing.T) {
	for _, tc := range []struct {
		o    runOptions
		year kubectlYear
		want string
	}{
		{runOptions{generator: "run/v1", restart: "Always"}, today, "ReplicationController"},
		{runOptions{restart: "Always"}, year2015, "ReplicationController"},
		{runOptions{restart: "Always"}, year2016, "Deployment"},
		{runOptions{restart: "OnFailure"}, year2016, "Job"},
		{runOptions{restart: "Never"}, year2016, "Pod"},
		{runOptions{restart: "Always", schedule: "@hourly"}, today, "CronJob"},
	} {
		tc.o.image = "busybox"
		if err := tc.o.complete([]string{"x", "sleep", "1"}, tc.year); err != nil {
			t.Fatal(err)
		}
		objects, err := tc.o.objects()
		if err != nil || len(objects) != 1 {
			t.Fatalf("%+v: %v, %v", tc.o, objects, err)
		}
		kind, args := "", []string(nil)
		switch obj := objects[0].(type) {
		case *corev1.Pod:
			kind, args = "Pod", obj.Spec.Containers[0].Args
		case *corev1.ReplicationController:
			kind, args = "ReplicationController", obj.Spec.Template.Spec.Containers[0].Args
		case *appsv1.Deployment:
			kind, args = "Deployment", obj.Spec.Template.Spec.Containers[0].Args
		case *batchv1.Job:
			kind, args = "Job", obj.Spec.Template.Spec.Containers[0].Args
		case *batchv1.CronJob:
			kind, args = "CronJob", obj.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args
		}
		if kind != tc.want || !slices.Equal(args, []string{"sleep", "1"}) {
			t.Errorf("%+v makes a %s with %q, want a %s", tc.o, kind, args, tc.want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, tc := range []struct {
		o    runOptions
		args []string
		want string
	}{
		{runOptions{image: "x", restart: "Always"}, nil, "NAME"},
		{runOptions{restart: "Always"}, []string{"a"}, "--image"},
		{runOptions{image: "x", expose: true, restart: "Always"}, []string{"a"}, "--port"},
		{runOptions{image: "x", replicas: -1, restart: "Always"}, []string{"a"}, "--replicas"},
		{runOptions{image: "x", restart: "Sometimes"}, []string{"a"}, "--restart"},
		{runOptions{image: "x", generator: "pods/v9", restart: "Always"}, []string{"a"}, "--generator"},
	} {
		err := tc.o.complete(tc.args, today)
		if err == nil {
			_, err = tc.o.objects()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v %v: %v, want an error about %s", tc.o, tc.args, err, tc.want)
		}
	}
}
