package containerspec

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/fixture"
)

func TestExpand(t *testing.T) {
	vars := map[string]string{"A": "1", "B": "", "LONG_NAME": "x y"}
	for in, want := range map[string]string{
		"": "", "plain": "plain", "$(A)": "1", "-$(A)-$(B)-": "-1--", "$$(A)": "$(A)", "$$$(A)": "$1", "$(NONE)": "$(NONE)",
		"$(A": "$(A", "$": "$", "$A": "$A", "$$": "$", "$(LONG_NAME)$(A)": "x y1", "a$": "a$", "$()": "$()",
	} {
		if got, err := expand(in, func(n string) (string, bool) { v, ok := vars[n]; return v, ok }); got != want || err != nil {
			t.Errorf("%q gives %q, %v, want %q", in, got, err, want)
		}
	}
}

// The seven variables of the workshop's redis-master.
func TestServiceVariables(t *testing.T) {
	service := func(ns, name, ip string, ports ...v1.ServicePort) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1.ServiceSpec{ClusterIP: ip, Ports: ports}}
	}
	all := []*v1.Service{
		service("ns", "redis-master", "10.0.0.11", v1.ServicePort{Port: 6379, Protocol: v1.ProtocolTCP}),
		service("other", "hidden", "10.0.0.12", v1.ServicePort{Port: 1}),
		service("ns", "headless", v1.ClusterIPNone, v1.ServicePort{Port: 1}),
		service("default", "kubernetes", "10.0.0.1", v1.ServicePort{Port: 443, Name: "https"}),
	}
	got := map[string]string{}
	for _, v := range serviceVariables(VisibleServices(all, "ns", true)) {
		got[v.Name] = v.Value
	}
	want := map[string]string{
		"REDIS_MASTER_SERVICE_HOST": "10.0.0.11", "REDIS_MASTER_SERVICE_PORT": "6379",
		"REDIS_MASTER_PORT": "tcp://10.0.0.11:6379", "REDIS_MASTER_PORT_6379_TCP": "tcp://10.0.0.11:6379",
		"REDIS_MASTER_PORT_6379_TCP_PROTO": "tcp", "REDIS_MASTER_PORT_6379_TCP_PORT": "6379", "REDIS_MASTER_PORT_6379_TCP_ADDR": "10.0.0.11",
		"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_SERVICE_PORT_HTTPS": "443",
		"KUBERNETES_PORT": "tcp://10.0.0.1:443", "KUBERNETES_PORT_443_TCP": "tcp://10.0.0.1:443",
		"KUBERNETES_PORT_443_TCP_PROTO": "tcp", "KUBERNETES_PORT_443_TCP_PORT": "443", "KUBERNETES_PORT_443_TCP_ADDR": "10.0.0.1",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if few := VisibleServices(all, "ns", false); len(few) != 1 || few[0].Name != "kubernetes" {
		t.Errorf("without links: %v", few)
	}
}

// fixture.Objects are lookups in memory.
func TestEnvironment(t *testing.T) {
	yes := true
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{"app": "x"}}}
	ref := v1.LocalObjectReference{Name: "cm"}
	c := &v1.Container{
		Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceMemory: resource.MustParse("10Mi"), v1.ResourceCPU: resource.MustParse("250m")}},
		EnvFrom:   []v1.EnvFromSource{{Prefix: "C_", ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: ref}}, {SecretRef: &v1.SecretEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "none"}, Optional: &yes}}},
		Env: []v1.EnvVar{
			{Name: "A", Value: "$(C_k)-$(LATER)"},
			{Name: "LATER", Value: "$(A)"},
			{Name: "C_log", Value: "debug"},
			{Name: "APP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}}},
			{Name: "IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "MEM", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "requests.memory", Divisor: resource.MustParse("1Mi")}}},
			{Name: "MILLI", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "requests.cpu", Divisor: resource.MustParse("1m")}}},
			{Name: "ALL", ValueFrom: &v1.EnvVarSource{ResourceFieldRef: &v1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			{Name: "PW", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "sec"}, Key: "pw"}}},
			{Name: "OPT", ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "none", Optional: &yes}}},
		},
	}
	e := &EnvContext{Pod: pod, Container: c, PodIP: "10.0.0.7", Objects: fixture.SomeObjects, Capacity: v1.ResourceList{v1.ResourceCPU: resource.MustParse("2")}}
	got, _, err := Environment(context.Background(), e)
	want := []string{"C_k=v", "C_log=debug", "A=v-$(LATER)", "LATER=v-$(LATER)", "APP=x", "IP=10.0.0.7", "MEM=10", "MILLI=250", "ALL=2", "PW=secret"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	for want, from := range map[string]*v1.EnvVarSource{
		`secret "none" not found`:                    {SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "none"}}},
		"couldn't find key none in ConfigMap ns/cm":  {ConfigMapKeyRef: &v1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "none"}},
		`field path "spec.nothing" is not supported`: {FieldRef: &v1.ObjectFieldSelector{FieldPath: "spec.nothing"}},
		`container "none" not found in the pod`:      {ResourceFieldRef: &v1.ResourceFieldSelector{ContainerName: "none", Resource: "limits.cpu"}},
	} {
		e.Container = &v1.Container{Env: []v1.EnvVar{{Name: "X", ValueFrom: from}}}
		if _, _, err := Environment(context.Background(), e); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestResolverFiles(t *testing.T) {
	node := ResolvConf{servers: []string{"192.0.2.1"}, searches: []string{"lan"}, options: []string{"timeout:1"}}
	two := "2"
	for _, c := range []struct {
		spec v1.PodSpec
		want string
	}{
		{v1.PodSpec{DNSPolicy: v1.DNSClusterFirst}, "search ns.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.0.0.10\noptions ndots:5\n"},
		{v1.PodSpec{DNSPolicy: v1.DNSDefault}, "search lan\nnameserver 192.0.2.1\noptions timeout:1\n"},
		{v1.PodSpec{DNSPolicy: v1.DNSClusterFirst, HostNetwork: true}, "search lan\nnameserver 192.0.2.1\noptions timeout:1\n"},
		{v1.PodSpec{DNSPolicy: v1.DNSNone, DNSConfig: &v1.PodDNSConfig{Nameservers: []string{"1.2.3.4"}, Searches: []string{"x"}, Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: &two}}}}, "search x\nnameserver 1.2.3.4\noptions ndots:2\n"},
	} {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p"}, Spec: c.spec}
		if got := ResolvConfFor(pod, node, "10.0.0.10", "cluster.local").String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.spec.DNSPolicy, got, c.want)
		}
	}
	for spec, missed := range map[*v1.PodSpec]bool{
		{DNSPolicy: v1.DNSClusterFirst}: true, {DNSPolicy: v1.DNSClusterFirst, HostNetwork: true}: false, {DNSPolicy: v1.DNSClusterFirstWithHostNet, HostNetwork: true}: true,
		{DNSPolicy: v1.DNSDefault}: false, {DNSPolicy: v1.DNSNone}: false,
	} {
		pod := &v1.Pod{Spec: *spec}
		if text := NoClusterDNS(pod, ""); (text != "") != missed || NoClusterDNS(pod, "10.0.0.10") != "" {
			t.Errorf("%s on a node without a name server: %q", spec.DNSPolicy, text)
		}
	}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p"}, Spec: v1.PodSpec{Hostname: "h", Subdomain: "sub", HostAliases: []v1.HostAlias{{IP: "1.1.1.1", Hostnames: []string{"x", "y"}}}}}
	override := pod.DeepCopy()
	override.Spec.HostnameOverride = new("other.example")
	if got := HostsFile(override, "10.0.0.7", "cluster.local", nil); !strings.Contains(got, "\n10.0.0.7\tother.example\n") {
		t.Errorf("hosts of a pod under another name:\n%s", got)
	}
	if got, err := Hostname(override, "cluster.local"); err != nil || got != "other.example" {
		t.Errorf("another name: %q %v", got, err)
	}
	if got := HostsFile(pod, "10.0.0.7", "cluster.local", nil); !strings.Contains(got, "10.0.0.7\th.sub.ns.svc.cluster.local\th\n\n# Entries added by HostAliases.\n1.1.1.1\tx\ty\n") {
		t.Errorf("hosts: %q", got)
	}
}

// What is beyond a resolver's limits is left out, and said.
func TestResolverLimits(t *testing.T) {
	long := strings.Repeat("x", 254)
	many, wide := make([]string, 33), make([]string, 20)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	for i := range wide {
		wide[i] = strings.Repeat("y", 200) + fmt.Sprint(i)
	}
	const servers, searches = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ",
		"Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
	for _, c := range []struct {
		in            ResolvConf
		servers, kept int
		want          []string
	}{
		{ResolvConf{servers: []string{"1", "2", "3"}, searches: many[:32]}, 3, 32, nil},
		{ResolvConf{servers: []string{"1", "2", "3", "4"}}, 3, 0, []string{servers + "1 2 3"}},
		{ResolvConf{searches: many}, 0, 32, []string{searches + strings.Join(many[:32], " ")}},
		{ResolvConf{searches: []string{"a", long, "b"}}, 0, 2, []string{searches + "a b"}},
		{ResolvConf{searches: wide}, 0, 10, []string{searches + strings.Join(wide[:10], " ")}},
	} {
		fit, omitted := c.in.Fit()
		if len(fit.servers) != c.servers || len(fit.searches) != c.kept || !slices.Equal(omitted, c.want) {
			t.Errorf("%+v: %+v, %q", c.in, fit, omitted)
		}
	}
}

// TestReferencesAreBounded: variables and arguments that stand for much more than
// what the pod has are rejected, and not made first.
func TestReferencesAreBounded(t *testing.T) {
	const megabyte = 1 << 20
	large := fixture.Objects{ConfigMaps: map[string]*v1.ConfigMap{"cm": {Data: map[string]string{"k": strings.Repeat("x", megabyte)}}}}
	ref := v1.LocalObjectReference{Name: "cm"}
	doubling := []v1.EnvVar{{Name: "V0", Value: strings.Repeat("x", 100)}}
	for i := range 25 {
		doubling = append(doubling, v1.EnvVar{Name: fmt.Sprintf("V%d", i+1), Value: fmt.Sprintf("$(V%d)$(V%d)", i, i)})
	}
	repeated := &v1.Container{}
	for i := range 300 {
		name := fmt.Sprintf("N%d", i)
		repeated.EnvFrom = append(repeated.EnvFrom, v1.EnvFromSource{Prefix: name, ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: ref}})
	}
	long := func(string) (string, bool) { return strings.Repeat("x", megabyte), true }
	variables := func(c *v1.Container) error {
		_, _, err := Environment(t.Context(), &EnvContext{Pod: &v1.Pod{}, Container: c, Objects: large})
		return err
	}
	for name, f := range map[string]func() error{
		"variables that double":     func() error { return variables(&v1.Container{Env: doubling}) },
		"a map under many prefixes": func() error { return variables(repeated) },
		"an argument":               func() error { _, err := expand(strings.Repeat("$(A)", 200), long); return err },
		"arguments":                 func() error { _, err := ExpandAll(slices.Repeat([]string{"$(A)"}, 200), long); return err },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := f()
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if used := (after.TotalAlloc - before.TotalAlloc) / megabyte; used > 160 {
			t.Errorf("%s: it took %d MB", name, used)
		}
	}
}
