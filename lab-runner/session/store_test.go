package session

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "progress.json")
	s := NewStore(path, func(text string) { t.Error(text) })
	if p, err := s.Progress(); err != nil || len(p.Labs) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := s.Update(func(p *Progress) { p.Current = "a/b"; p.lab("a/b").step("one").Hints = 2 }); err != nil {
		t.Fatal(err)
	}
	if p, err := NewStore(path, nil).Progress(); err != nil || p.Current != "a/b" || p.Labs["a/b"].Steps["one"].Hints != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

// A file that cannot be understood is set aside, and nothing in it is lost.
func TestABrokenFileIsSetAside(t *testing.T) {
	for _, text := range []string{"{", "", `{"version": 2, "labs": {}}`, `{"version": 1, "labs": []}`} {
		path := filepath.Join(t.TempDir(), "progress.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var said []string
		s := NewStore(path, func(text string) { said = append(said, text) })
		if err := s.Update(func(p *Progress) { p.Current = "a/b" }); err != nil {
			t.Fatal(err)
		}
		kept, err := filepath.Glob(path + ".broken-*")
		if err != nil || len(kept) != 1 || len(said) != 1 || !strings.Contains(said[0], kept[0]) {
			t.Fatalf("%q: kept as %v, said %q", text, kept, said)
		}
		if was, err := os.ReadFile(kept[0]); err != nil || string(was) != text {
			t.Errorf("kept %q of %q: %v", was, text, err)
		}
		if p, err := s.Progress(); err != nil || p.Current != "a/b" {
			t.Errorf("afterwards: %+v, %v", p, err)
		}
	}
}

// Two programs that write at once lose nothing.
func TestWritersAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "progress.json")
	var wg sync.WaitGroup
	for range 4 {
		s := NewStore(path, nil)
		wg.Go(func() {
			for range 20 {
				if err := s.Update(func(p *Progress) { p.lab("a/b").step("one").Hints++ }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p, err := NewStore(path, nil).Progress()
	if err != nil || p.Labs["a/b"].Steps["one"].Hints != 80 {
		t.Errorf("%+v, %v", p.Labs["a/b"].Steps["one"], err)
	}
}

func TestStorePath(t *testing.T) {
	t.Setenv("HOME", "/home/l")
	for state, want := range map[string]string{
		"":         "/home/l/.local/state/wheelhouse-labs/progress.json",
		"relative": "/home/l/.local/state/wheelhouse-labs/progress.json",
		"/s":       "/s/wheelhouse-labs/progress.json",
	} {
		t.Setenv("XDG_STATE_HOME", state)
		if got, err := StorePath(); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", state, got, err, want)
		}
	}
}
