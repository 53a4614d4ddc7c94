package machine

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/pairing"
)

// at is where a URL's server listens.
func at(t *testing.T, url string) netip.AddrPort {
	t.Helper()
	to, err := netip.ParseAddrPort(strings.TrimPrefix(url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// Of all that announce a master, the one is chosen whose authority the code pins, also where the
// clock is wrong, and nobody else is sent anything.
func TestFindTheMasterOfTheCode(t *testing.T) {
	right, ca := masterOf(t, time.Now())
	wrong, _ := masterOf(t, time.Now())
	code, err := pairing.New(ca)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	rounds := 0
	m.Find = func(context.Context, time.Duration) ([]netip.AddrPort, error) {
		if rounds++; rounds < 3 { // it comes up after its workers
			return []netip.AddrPort{at(t, wrong), netip.MustParseAddrPort("127.0.0.1:1")}, nil
		}
		return []netip.AddrPort{at(t, wrong), at(t, right)}, nil
	}
	var set time.Time
	m.Now = func() time.Time { return time.Date(2016, 4, 1, 0, 0, 0, 0, time.UTC) }
	m.SetClock = func(to time.Time) error { set = to; return nil }
	by, err := m.ask(&Options{Code: strings.ToLower(code.String())})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := code.Token(); err != nil || by.token != token {
		t.Errorf("the token is %q", by.token)
	}
	got, err := m.master(t.Context(), "", by, Options{})
	if err != nil || got != right {
		t.Errorf("found %q, %v; want %s", got, err, right)
	}
	if time.Since(set) > time.Hour {
		t.Errorf("the clock was set to %s", set)
	}
	if n := strings.Count(m.out.String(), "another cluster's"); n != 1 {
		t.Errorf("a false master is named %d times:\n%s", n, m.out.String())
	}
}

func TestFindNothing(t *testing.T) {
	wrong, _ := masterOf(t, time.Now())
	_, ca := masterOf(t, time.Now())
	code, err := pairing.New(ca)
	if err != nil {
		t.Fatal(err)
	}
	for want, found := range map[string][]netip.AddrPort{"another cluster": {at(t, wrong)}, "refused": {netip.MustParseAddrPort("127.0.0.1:1")}, "nothing announces one": nil} {
		m := newMachine(t)
		ctx, cancel := context.WithCancel(t.Context())
		rounds := 0
		m.Find = func(context.Context, time.Duration) ([]netip.AddrPort, error) {
			if rounds++; rounds == 3 {
				cancel()
			}
			return found, nil
		}
		err := m.EnableWorker(ctx, "", Options{Code: code.String()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", found, err)
		}
		if len(m.ran) > 0 {
			t.Errorf("what runs was touched: %q", m.ran)
		}
	}
}

func TestCodes(t *testing.T) {
	m := newMachine(t)
	for text, want := range map[string]string{"00000": "25 letters", "00000-00000-00000-00000-00001": "wrong"} {
		if err := m.EnableWorker(t.Context(), "", Options{Code: text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := m.EnableWorker(t.Context(), "", Options{}); err == nil || !strings.Contains(err.Error(), "kube-config code") {
		t.Errorf("without a code: %v", err)
	}
	if err := m.EnableWorker(t.Context(), "", Options{CodeFile: m.path("/none")}); err == nil {
		t.Error("a missing file is none")
	}
	if len(m.ran) > 0 {
		t.Errorf("what runs was touched: %q", m.ran)
	}
}
