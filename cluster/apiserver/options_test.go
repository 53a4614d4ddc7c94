package apiserver_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"wheelhouse/cluster/apiserver/apitest"
)

// TestSelectorsAreBounded: those of a watch are tried on each change, for all watchers.
func TestSelectorsAreBounded(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	many := func(n int, format, between string) string {
		terms := make([]string, n)
		for i := range terms {
			terms[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(terms, between)
	}
	for _, c := range []struct {
		name, param, selector string
		want                  int
	}{
		{"requirements", "labelSelector", many(90, "!k%d", ","), http.StatusOK},
		{"too many requirements", "labelSelector", many(9000, "!k%d", ","), http.StatusBadRequest},
		{"values", "labelSelector", "k in (" + many(900, "v%d", ",") + ")", http.StatusOK},
		{"too many values", "labelSelector", "k notin (" + many(9000, "v%d", ",") + ")", http.StatusBadRequest},
		{"fields", "fieldSelector", many(90, "metadata.name!=k%d", ","), http.StatusOK},
		{"too many fields", "fieldSelector", many(2000, "metadata.name!=k%d", ","), http.StatusBadRequest},
	} {
		for _, watch := range []string{"", "watch=1&timeoutSeconds=1&"} {
			resp, body := r.do("GET", "/api/v1/configmaps?"+watch+c.param+"="+url.QueryEscape(c.selector), asJSON, "")
			if resp.StatusCode != c.want {
				t.Errorf("%s %s: %d, want %d: %.200s", watch, c.name, resp.StatusCode, c.want, body)
			}
		}
		if resp, _ := r.do("DELETE", "/api/v1/namespaces/none/configmaps?"+c.param+"="+url.QueryEscape(c.selector), asJSON, ""); resp.StatusCode != c.want {
			t.Errorf("delete, %s: %d, want %d", c.name, resp.StatusCode, c.want)
		}
	}
}
