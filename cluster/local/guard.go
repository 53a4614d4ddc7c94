package local

import (
	"fmt"
	"net/http"

	"k8s.io/client-go/rest"
)

// Guard makes clients of c refuse answers that lead elsewhere, and the end of those that are longer than most bytes: for an API whose
// administrator is not trusted. Streams are not bounded, since their transport is another.
func Guard(c *rest.Config, most int64) {
	c.Wrap(func(rt http.RoundTripper) http.RoundTripper { return guarded{rt, most} })
}

type guarded struct {
	http.RoundTripper
	most int64
}

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, err
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the API server answers with a redirection (%s)", resp.Status)
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, g.most)
	return resp, nil
}
