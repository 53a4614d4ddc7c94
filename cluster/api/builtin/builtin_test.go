package builtin

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/diff"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/certificates"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/rules"
)

func TestKindsAreConsistent(t *testing.T) {
	seen := map[schema.GroupVersionResource]bool{}
	for _, k := range Table().Served() {
		gvr := k.GroupVersion().WithResource(k.Plural)
		if seen[gvr] {
			t.Errorf("%s is listed twice", gvr)
		}
		seen[gvr] = true
		if Lookup(k.Group, k.Version, k.Plural) != k || Table().ByGVK(k.GroupVersionKind) != k {
			t.Errorf("%s: not found by its own name", gvr)
		}
		gvks, _, err := api.Scheme.ObjectKinds(k.New())
		if err != nil || !slices.Contains(gvks, k.GroupVersionKind) {
			t.Errorf("%s: New makes a %v (%v)", gvr, gvks, err)
		}
		if list := k.NewList(); list != nil {
			want := k.GroupVersion().WithKind(k.Kind + "List")
			if gvks, _, err := api.Scheme.ObjectKinds(list); err != nil || !slices.Contains(gvks, want) {
				t.Errorf("%s: NewList makes a %v (%v)", gvr, gvks, err)
			}
		}
		if (k.Row == nil) != (k.Columns == nil) {
			t.Errorf("%s: columns without rows, or rows without columns", gvr)
		}
		if k.Row != nil && len(k.Row(k.New())) != len(k.Columns) {
			t.Errorf("%s: a row has %d cells for %d columns", gvr, len(k.Row(k.New())), len(k.Columns))
		}
		if k.Stored != nil {
			if k.HasStatus != k.Stored.HasStatus || (k.Scale != nil) != (k.Stored.Scale != nil) || k.Namespaced != k.Stored.Namespaced || k.Plural != k.Stored.Plural {
				t.Errorf("%s: not served as what it stands for", gvr)
			}
		} else if k.HasStatus != (k.PrepareStatus != nil) || k.HasStatus != (k.ValidateStatus != nil) {
			t.Errorf("%s: HasStatus is %v, but not its functions", gvr, k.HasStatus)
		}
		if k.Fields != nil {
			k.Fields(k.Storage().New())
		}
	}
}

func TestEventsInBothVersions(t *testing.T) {
	e := read(t, core.Events, `{type: Normal, count: 3, firstTimestamp: "2026-01-02T02:59:05Z", lastTimestamp: "2026-01-02T03:00:00Z", source: {component: c, host: h},
	  series: {count: 2, lastObservedTime: "2026-01-02T03:00:00.000000Z"}, action: a, reportingComponent: rc, reportingInstance: ri, related: {name: r}}`).(*corev1.Event)
	e.APIVersion, e.Kind = "v1", "Event"
	v1 := Lookup("events.k8s.io", "v1", "events")
	other := fromStored(t, v1, e).(*eventsv1.Event)
	if other.Note != "m" || other.Regarding.Name != "p" || other.DeprecatedCount != 3 || other.APIVersion != "events.k8s.io/v1" {
		t.Errorf("as events.k8s.io: %+v", other)
	}
	if back := toStored(t, v1, other); !rules.Equal(back, e) {
		t.Errorf("there and back (-sent +got)\n%s", diff.Diff(e, back))
	}
	if got := v1.Fields(e)["regarding.name"]; got != "p" {
		t.Errorf("regarding.name selects %q", got)
	}
}

// The manifests of the workshop of 2015, with their indentation restored.
func TestManifestsOf2015(t *testing.T) {
	for name, m := range map[string]struct {
		kind *api.Kind
		yaml string
	}{
		"influxdb": {core.Pods, `
apiVersion: v1
kind: Pod
metadata:
  labels:
    name: influxdb
  name: influxdb
spec:
  containers:
  - image: docker.io/tutum/influxdb:latest
    name: influxdb
    resources:
      limits:
        cpu: "500m"
        memory: "128Mi"
    readinessProbe:
      httpGet:
        path: /ping
        port: 8086
      initialDelaySeconds: 5
      timeoutSeconds: 1
    livenessProbe:
      httpGet:
        path: /ping
        port: 8086
      initialDelaySeconds: 15
      timeoutSeconds: 1
    ports:
    - containerPort: 8083
      name: admin
      protocol: TCP
    - containerPort: 8086
      name: http
      protocol: TCP
`},
		"inspector rc": {core.ReplicationControllers, `
apiVersion: v1
kind: ReplicationController
metadata:
  labels:
    app: inspector
    track: stable
  name: inspector
spec:
  replicas: 1
  selector:
    app: inspector
    track: stable
  template:
    metadata:
      labels:
        app: inspector
        track: stable
    spec:
      containers:
      - image: b.gcr.io/kuar/inspector:1.0.0
        imagePullPolicy: IfNotPresent
        name: inspector
        resources: {}
        terminationMessagePath: /dev/termination-log
      dnsPolicy: ClusterFirst
      restartPolicy: Always
status:
  observedGeneration: 1
  replicas: 1
`},
		"inspector service": {core.Services, `
apiVersion: v1
kind: Service
metadata:
  name: inspector
  labels:
    app: inspector
spec:
  type: NodePort
  selector:
    app: inspector
  ports:
  - name: http
    nodePort: 36000
    port: 80
    protocol: TCP
`},
		"hooks": {core.ReplicationControllers, `
apiVersion: v1
kind: ReplicationController
metadata:
  name: apache-hook
  labels:
    name: apache-hook
spec:
  replicas: 3
  selector:
    name: apache-hook
  template:
    metadata:
      labels:
        name: apache-hook
    spec:
      containers:
      - name: apache-hook
        image: bitnami/apache:latest
        ports:
        - containerPort: 80
        lifecycle:
          postStart:
            httpGet:
              path: http://my.registration-server.com/register/
              port: 80
          preStop:
            exec:
              command: ['/usr/local/bin/apachectl', '-k', 'graceful-stop']
`},
		"kuard": {core.Pods, `
apiVersion: v1
kind: Pod
metadata:
  name: kuard
spec:
  volumes:
  - name: 'kuard-data'
    hostPath:
      path: '/var/lib/kuard'
  - name: 'kuard-remote-data'
    nfs:
      server: my.nfs.server.local
      path: '/exports'
  containers:
  - image: kuard-amd64:blue
    name: kuard
    volumeMounts:
    - mountPath: '/data'
      name: 'kuard-data'
    resources:
      requests:
        cpu: '500m'
        memory: '128Mi'
      limits:
        cpu: '1000m'
        memory: '256Mi'
    ports:
    - containerPort: 8080
      name: http
      protocol: TCP
`},
		"external name": {core.Services, `
kind: Service
apiVersion: v1
metadata:
  name: external-database
spec:
  type: ExternalName
  externalName: database.company.com
`},
		"outside endpoints": {core.Endpoints, `
kind: Endpoints
apiVersion: v1
metadata:
  name: external-ip-database
subsets:
- addresses:
  - ip: 192.168.0.1
  ports:
  - port: 3306
`},
	} {
		t.Run(name, func(t *testing.T) {
			o := m.kind.New()
			if err := yaml.UnmarshalStrict([]byte(m.yaml), o); err != nil {
				t.Fatal(err)
			}
			o.SetNamespace("default")
			matches(t, create(m.kind, o), "")
		})
	}
}

func TestRespell(t *testing.T) {
	in := `{"kind":"Endpoints","metadata":{"annotations":{"IP":"x"}},"subsets":[{"addresses":[{"IP":"1.2.3.4"}]}]}`
	want := `{"kind":"Endpoints","metadata":{"annotations":{"IP":"x"}},"subsets":[{"addresses":[{"ip":"1.2.3.4"}]}]}`
	if out, changed := core.Endpoints.Respell([]byte(in)); !changed || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", changed, out, want)
	}
	if out, changed := core.Endpoints.Respell([]byte(want)); changed || string(out) != want {
		t.Errorf("respelt what needs none: %s", out)
	}
	if _, changed := core.Pods.Respell([]byte(`{"IP":"x"}`)); changed {
		t.Error("a pod has no old spelling")
	}
}

func TestApproval(t *testing.T) {
	for _, c := range []struct {
		name, conditions string
		state, want      string
	}{
		{"approved", `[{type: Failed, status: "True"}, {type: Approved, status: "True"}]`, "Approved,Failed", ""},
		{"custom condition", `[{type: Failed, status: "True"}, {type: example.com/seen, status: "False"}]`, "Pending,Failed", ""},
		{"nothing else left", `[{type: example.com/seen, status: "True"}]`, "Pending", `status.conditions: Forbidden: updates may not remove a condition of type "Failed"`},
		{
			"twice", `[{type: Failed, status: "True"}, {type: x, status: "True"}, {type: x, status: "True"}]`, "Pending,Failed",
			`status.conditions[2].type: Duplicate value: "x"`,
		},
		{
			"approved and denied", `[{type: Failed, status: "True"}, {type: Approved, status: "True"}, {type: Denied, status: "True"}]`, "Denied,Failed",
			`status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive`,
		},
		{"not approved", `[{type: Failed, status: "True"}, {type: Approved, status: "False"}]`, "Approved,Failed", `status.conditions[1].status: Unsupported value: "False": supported values: "True"`},
		{
			"unknown status", `[{type: Failed, status: "True"}, {type: x, status: Perhaps}]`, "Pending,Failed",
			`status.conditions[1].status: Unsupported value: "Perhaps": supported values: "False", "True", "Unknown"`,
		},
		{"no type", `[{type: Failed, status: "True"}, {status: "True"}]`, "Pending,Failed", "status.conditions[1].type: Required value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := read(t, certificates.CertificateSigningRequests, `{}`).(*certificatesv1.CertificateSigningRequest)
			create(certificates.CertificateSigningRequests, old)
			old.ResourceVersion = "1"
			old.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: "Failed", Status: "True"}}
			obj := read(t, certificates.CertificateSigningRequests, `{metadata: {resourceVersion: "1"}, spec: {username: mallory},
			  status: {certificate: eA==, conditions: `+c.conditions+`}}`).(*certificatesv1.CertificateSigningRequest)
			approve := certificates.CertificateSigningRequests.Sub("approval")
			approve.Prepare(obj, old)
			matches(t, approve.Validate(obj, old), c.want)
			if got := certificates.CertificateSigningRequests.Row(obj)[5]; got != c.state || obj.Spec.Username != "" {
				t.Errorf("%s, asked by %q; want %s", got, obj.Spec.Username, c.state)
			}
		})
	}
}

// A writer of conditions may leave out their times, and a condition that was there keeps that of its transition.
func TestTimesOfConditionsOfRequests(t *testing.T) {
	k := certificates.CertificateSigningRequests
	was := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for name, prepare := range map[string]func(obj, old api.Object){"approval": k.Sub("approval").Prepare, "status": k.PrepareStatus} {
		old := read(t, k, `{}`).(*certificatesv1.CertificateSigningRequest)
		old.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: "Approved", Status: "True", LastTransitionTime: was}}
		obj := old.DeepCopy()
		obj.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: "Approved", Status: "True"}, {Type: "Failed", Status: "True"}}
		before := metav1.Now()
		prepare(obj, old)
		for i, c := range obj.Status.Conditions {
			if c.LastUpdateTime.Before(&before) || (i == 0) != c.LastTransitionTime.Equal(&was) || i == 1 && c.LastTransitionTime.Before(&before) {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}
