package near

import "testing"

func TestName(t *testing.T) {
	have := []string{"web", "database", "db-headless", "kube-system", "linux"}
	for name, want := range map[string]string{
		"wbe": "web", "webs": "web", "Web": "web", "databse": "database", "db-headles": "db-headless", "kube-systm": "kube-system", "linxu": "linux",
		"api": "", "web": "", "w": "", "": "", "cache": "", "dbheadlss": "db-headless",
	} {
		if got := Name(name, have); got != want {
			t.Errorf("Name(%q) = %q, want %q", name, got, want)
		}
	}
}

// Names of any length are compared in bounded time, and wrong UTF-8 does no harm.
func FuzzName(f *testing.F) {
	f.Add("web", "wbe")
	f.Fuzz(func(t *testing.T, a, b string) {
		if d := distance(a, b); d != distance(b, a) || d < 0 || d > max(len(a), len(b)) {
			t.Errorf("distance(%q, %q) = %d, the other way %d", a, b, d, distance(b, a))
		}
	})
}
