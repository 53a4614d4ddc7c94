package apiserver

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/nodeproxy"
)

// connects returns the routes of a subresource that nodeproxy forwards.
func connects(f func(*nodeproxy.Proxy, *nodeproxy.Request) error, offered ...string) verbs {
	v := verbs{}
	for _, verb := range offered {
		v[verb] = func(r *request) error {
			if strings.Contains(r.URL.RawQuery, "dryRun") && r.URL.Query().Has("dryRun") {
				return apistatus.BadRequest("dryRun is not supported")
			}
			return f(r.s.nodes, &nodeproxy.Request{Request: r.Request, Info: r.Info, Caller: connecting{r}, User: r.user, W: r.w})
		}
	}
	return v
}

// connecting is a request as nodeproxy's Caller.
type connecting struct{ r *request }

func (c connecting) AdmitConnect(pod *corev1.Pod) error {
	return c.r.admit(admission.Connect, pod, nil)
}

func (c connecting) BeginStream() { c.r.w.BeginStream(true) }

func (c connecting) Fail(err error) {
	if c.r.w.Code == 0 {
		c.r.s.fail(c.r.w, c.r.Request, err)
	}
}
