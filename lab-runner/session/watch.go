package session

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/steps"
)

// watched are the resources whose changes may change a check, beside those of the map: in the lab's namespace, and of the
// cluster. One that the cluster does not serve, or that may not be watched, is left out.
var watched = struct{ namespaced, cluster []string }{
	namespaced: []string{
		"/api/v1 endpoints", "/api/v1 replicationcontrollers", "/api/v1 persistentvolumeclaims",
		"/api/v1 configmaps", "/api/v1 secrets", "/api/v1 resourcequotas", "/api/v1 serviceaccounts", "/api/v1 events",
		"/apis/apps/v1 deployments", "/apis/apps/v1 replicasets", "/apis/apps/v1 daemonsets", "/apis/apps/v1 statefulsets",
		"/apis/batch/v1 jobs", "/apis/batch/v1 cronjobs", "/apis/networking.k8s.io/v1 ingresses", "/apis/networking.k8s.io/v1 networkpolicies",
		"/apis/autoscaling/v2 horizontalpodautoscalers", "/apis/rbac.authorization.k8s.io/v1 roles", "/apis/rbac.authorization.k8s.io/v1 rolebindings",
	},
	cluster: []string{"/api/v1 persistentvolumes", "/api/v1 namespaces"},
}

const (
	debounce = 30 * time.Millisecond  // after a change, for those that come with it
	atMost   = 120 * time.Millisecond // that a change waits for others
	again    = time.Second            // between two watches of one resource that was ended
	outside  = 3 * time.Second        // between looks at what the cluster has no events of
)

// Watch evaluates the current step's checks at first and after every change in the cluster, and calls changed with
// what there is to show when it is another view than before. What the cluster has no events of, such as a container or
// a file, is looked at every three seconds while a check that names it is to do. It ends with ctx, and returns nil
// then. A step that is chosen elsewhere is noticed as a change. What the map draws is reported to drawn, if it is not
// nil, from the same watches. Calls of each come one at a time, and none after the end.
func (s *Session) Watch(ctx context.Context, changed func(View), drawn func(clustermap.Change)) error {
	signals := make(chan struct{}, 1)
	client, err := watchClient(s.cfg.Cluster.Config)
	if err != nil {
		return err
	}
	var following sync.WaitGroup
	defer following.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	following.Go(func() {
		clustermap.Follow(ctx, s.cfg.Cluster.Client, s.lab.Namespace, func(c clustermap.Change) {
			if c.Denied == "" {
				signal(signals)
			}
			if drawn != nil {
				drawn(c)
			}
		})
	})
	for _, r := range watched.namespaced {
		go follow(ctx, client, path(s.cfg.Cluster.Config, r, s.lab.Namespace), signals)
	}
	for _, r := range watched.cluster {
		go follow(ctx, client, path(s.cfg.Cluster.Config, r, ""), signals)
	}
	return s.evaluateOn(ctx, signals, changed)
}

// evaluateOn is Watch without its watches.
func (s *Session) evaluateOn(ctx context.Context, signals <-chan struct{}, changed func(View)) error {
	var before string
	for {
		v, err := s.Check(ctx, Look{})
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the watch ends with ctx; the check's error is of that
		case err != nil:
			return err
		}
		if now := s.key(v); now != before {
			before = now
			changed(v)
		}
		if !settle(ctx, signals, s.period(v)) {
			return nil
		}
	}
}

// key is what makes two views different: not when a check was last looked at.
func (s *Session) key(v View) string {
	var b strings.Builder
	b.WriteString(v.Steps[v.Step].Name + v.Steps[v.Step].State)
	for _, c := range v.Checks {
		b.WriteString("\n" + c.Name + " " + c.State)
		if c.Reason != nil {
			b.WriteString(" " + c.Reason.Wanted + c.Reason.Seen + c.Reason.Event + c.Reason.Elsewhere)
		}
	}
	return b.String()
}

// settle returns after a change, and the changes that come with it, or after the period, if there is one. It returns
// false when ctx is done.
func settle(ctx context.Context, signals <-chan struct{}, period time.Duration) bool {
	var tick <-chan time.Time
	if period > 0 {
		t := time.NewTimer(period)
		defer t.Stop()
		tick = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return true
	case <-signals:
	}
	end := time.NewTimer(atMost)
	defer end.Stop()
	for {
		quiet := time.NewTimer(debounce)
		select {
		case <-ctx.Done():
			quiet.Stop()
			return false
		case <-end.C:
			quiet.Stop()
			return true
		case <-quiet.C:
			return true
		case <-signals:
			quiet.Stop()
		}
	}
}

// inCluster are sentences whose truth changes with an event: those of objects, and of kubectl alone.
var inCluster = regexp.MustCompile("^(pod|no pod|node|service|claim|at least|the pods|the node port of service \"[^\"]+\" lies|[0-9]+ pods?) |^`kubectl (get|describe) [^|&;$]*` (prints|fails)")

// period is how often to look without an event; 0: never.
func (s *Session) period(v View) time.Duration {
	n, step := v.Step, &s.lab.Steps[v.Step]
	if v.Steps[n].State != ToDo {
		return 0
	}
	for i, c := range step.Checks {
		if v.Checks[i].State != ToDo {
			continue
		}
		scenario, _ := s.lab.Scenario(c.Text)
		if hasOutside(scenario) {
			return outside
		}
	}
	return 0
}

func hasOutside(scenario catalog.Scenario) bool {
	for _, sentence := range scenario.Steps {
		if !steps.Changes(sentence.Text) && !inCluster.MatchString(sentence.Text) {
			return true
		}
	}
	return false
}

// watchClient returns a client without a timeout, as a watch has no end.
func watchClient(config *rest.Config) (*http.Client, error) {
	own := rest.CopyConfig(config)
	own.Timeout = 0
	return rest.HTTPClientFor(own)
}

// path returns the URL of a watch of a resource, in a namespace if it has one.
func path(config *rest.Config, resource, namespace string) string {
	group, plural, _ := strings.Cut(resource, " ")
	url := strings.TrimSuffix(config.Host, "/")
	if !strings.Contains(url, "://") {
		url = "https://" + url
	}
	url += group
	if namespace != "" {
		url += "/namespaces/" + namespace
	}
	return url + "/" + plural + "?watch=true"
}

// follow signals each piece of a watch. The pieces are not decoded: what has changed is found by the checks.
func follow(ctx context.Context, client *http.Client, url string, signals chan<- struct{}) {
	for ctx.Err() == nil {
		served, err := followOnce(ctx, client, url, signals)
		if err == nil && !served {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

func signal(signals chan<- struct{}) {
	select {
	case signals <- struct{}{}:
	default: // one is waiting already
	}
}

// followOnce returns false if the resource cannot be watched.
func followOnce(ctx context.Context, client *http.Client, url string, signals chan<- struct{}) (served bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	// Metadata is enough, and short.
	r.Header.Set("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json")
	res, err := client.Do(r)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusMethodNotAllowed:
		return false, nil
	case res.StatusCode != http.StatusOK:
		return false, errors.New(res.Status)
	}
	buffer := make([]byte, 16<<10)
	for {
		n, err := res.Body.Read(buffer)
		if n > 0 {
			signal(signals)
		}
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return true, err
		}
	}
}
