package volume

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// A token of an hour is renewed after 48 minutes, sooner where a clock was set, and not all the time where clocks differ.
func TestTokenIsFresh(t *testing.T) {
	const minute, hour = time.Minute, time.Hour
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		ahead, age, set time.Duration // of the server's clock; when it is looked at; by which this machine's clock was set meanwhile
		want            bool
	}{
		"young":                                     {0, 40 * minute, 0, true},
		"old":                                       {0, 48 * minute, 0, false},
		"this clock was set forward":                {0, minute, hour, false},
		"this clock was set back":                   {0, 40 * minute, -hour, false},
		"slept an hour":                             {0, minute, hour - minute, false},
		"a clock that is corrected":                 {0, 40 * minute, minute / 2, true},
		"of a server a year ahead, now":             {365 * 24 * hour, minute, 0, true},
		"of a server a year ahead, minutes ago":     {365 * 24 * hour, 5 * minute, 0, false},
		"of a server a year behind, minutes ago":    {-365 * 24 * hour, 5 * minute, 0, false},
		"of a server some seconds ahead":            {30 * time.Second, 5 * minute, 0, true},
		"of a server that is half an hour behind":   {-hour / 2, 10 * minute, 0, true},
		"the same when less than a fifth is left":   {-hour / 2, 20 * minute, 0, false},
		"a server an hour ahead asks no more often": {hour, 4 * minute, 0, true},
	} {
		have := token{issued: start.Add(c.ahead), got: start, life: hour}
		if got := have.fresh(start.Add(c.age+c.set), c.age); got != c.want {
			t.Errorf("%s: fresh %v, want %v", name, got, c.want)
		}
	}
}

// A token is for the audience that its volume names, else for the API server.
func TestTokenRequest(t *testing.T) {
	for audience, want := range map[string][]string{"": nil, "vault": {"vault"}} {
		r := tokenRequest(&v1.Pod{}, &v1.ServiceAccountTokenProjection{Audience: audience, ExpirationSeconds: new(int64(600)), Path: "token"})
		if !slices.Equal(r.Spec.Audiences, want) || *r.Spec.ExpirationSeconds != 600 {
			t.Errorf("%q: %+v", audience, r.Spec)
		}
	}
}
