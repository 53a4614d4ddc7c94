package capacity

import (
	"errors"
	"net"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
)

func TestCompare(t *testing.T) {
	plenty := Facts{Memory: 64 << 30, Disk: 500 << 30, Processes: 30000, Watches: 8192, Pods: 1000, Addresses: 1000, Port: ":8443"}
	if list := Compare(plenty, 40); !Enough(list) || len(list) != 7 {
		t.Errorf("on a large machine: %+v", list)
	}
	for name, change := range map[string]func(*Facts){
		"memory": func(f *Facts) { f.Memory = 4 << 30 }, "disk": func(f *Facts) { f.Disk = 13 << 30 }, "processes": func(f *Facts) { f.Processes = 2899 },
		"inotify": func(f *Facts) { f.Watches = 96 }, "pods": func(f *Facts) { f.Pods = 319 }, "addresses": func(f *Facts) { f.Addresses = Unknown },
		"port": func(f *Facts) { f.Listen = errors.New("address already in use") },
	} {
		f := plenty
		change(&f)
		list := Compare(f, 40)
		for _, c := range list {
			if c.OK == (c.Name == name) || (c.Remedy == "") != c.OK {
				t.Errorf("with too little %s: %+v", name, c)
			}
		}
		var out strings.Builder
		if Print(&out, list); Enough(list) || strings.Count(out.String(), "FAIL") != 1 {
			t.Errorf("with too little %s it prints\n%s", name, &out)
		}
	}
}

func TestLook(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(apitest.Start(t))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: corev1.NodeSpec{PodCIDR: "10.1.2.0/24"}, Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")},
	}}
	made, err := client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.Status = node.Status
	if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := Look(t.Context(), Place{Data: []string{t.TempDir() + "/not/there/yet"}, Listen: l.Addr().String(), Client: client})
	if f.Memory <= 0 || f.Disk <= 0 || f.Processes <= 0 || f.Watches <= 0 || f.Pods != 110 || f.Addresses != 253 || f.Cluster != nil {
		t.Errorf("found: %+v", f)
	}
	if f.Listen == nil {
		t.Error("a port that is taken is called free")
	}
	if f := Look(t.Context(), Place{Listen: "127.0.0.1:0"}); f.Cluster == nil || f.Listen != nil || f.Pods != Unknown {
		t.Errorf("without a cluster: %+v", f)
	}
}
