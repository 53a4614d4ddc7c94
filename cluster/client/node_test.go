package client

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A server that is late is asked again, a bounded number of times; one that refuses is not.
func TestIssueAsksAgainAfterATimeout(t *testing.T) {
	late := &url.Error{Op: "Post", URL: "https://127.0.0.1/", Err: os.ErrDeadlineExceeded}
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		answers []error // the last one is repeated
		calls   int
		want    error
	}{
		"late twice":    {[]error{late, late, nil}, 3, nil},
		"always late":   {[]error{late}, mostTimeouts, late},
		"refused":       {[]error{refused}, 1, refused},
		"late, refused": {[]error{late, refused}, 2, refused},
	} {
		t.Run(name, func(t *testing.T) {
			id := &Identity{Config: &rest.Config{Host: "127.0.0.1"}, Node: "n", log: slog.New(slog.DiscardHandler)}
			calls := 0
			_, err := id.issue(func(context.Context, kubernetes.Interface, string) (*Pair, error) {
				calls++
				return nil, c.answers[min(calls, len(c.answers))-1]
			})(t.Context())
			if calls != c.calls || !errors.Is(err, c.want) {
				t.Errorf("%d calls, %v; want %d, %v", calls, err, c.calls, c.want)
			}
		})
	}
}
