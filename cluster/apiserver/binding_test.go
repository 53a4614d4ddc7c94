package apiserver_test

import (
	"strings"
	"testing"

	"wheelhouse/cluster/apiserver/apitest"
)

// TestBinding: a pod that is bound gets the labels of where its node is, and has no nomination
// any more. A node that does not exist has no labels to give.
func TestBinding(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	r.do("POST", "/api/v1/nodes", asJSON, `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n","labels":{"topology.kubernetes.io/zone":"z","topology.kubernetes.io/region":"r","other":"o"}}}`)
	for name, node := range map[string]string{"a": "n", "b": "absent"} {
		r.do("POST", somePods, asJSON, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"`+name+`"},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
		r.do("PATCH", somePods+"/"+name+"/status", "application/merge-patch+json", `{"status":{"nominatedNodeName":"elsewhere"}}`)
		if resp, body := r.do("POST", somePods+"/"+name+"/binding", asJSON, `{"kind":"Binding","apiVersion":"v1","metadata":{"name":"`+name+`"},"target":{"kind":"Node","name":"`+node+`"}}`); resp.StatusCode != 201 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		_, body := r.do("GET", somePods+"/"+name, "", "")
		labelled := strings.Contains(body, `"labels":{"topology.kubernetes.io/region":"r","topology.kubernetes.io/zone":"z"}`)
		if labelled != (node == "n") || !strings.Contains(body, `"nodeName":"`+node+`"`) || strings.Contains(body, `"nominatedNodeName":"`) {
			t.Errorf("%s: %s", name, body)
		}
	}
}
