package why

import "testing"

func TestNear(t *testing.T) {
	have := []string{"web", "database", "db-headless", "kube-system", "linux"}
	for name, want := range map[string]string{
		"wbe": "web", "webs": "web", "Web": "web", "databse": "database", "db-headles": "db-headless", "kube-systm": "kube-system", "linxu": "linux",
		"api": "", "web": "", "w": "", "": "", "cache": "", "dbheadlss": "db-headless",
	} {
		if got := near(name, have); got != want {
			t.Errorf("near(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestNearLabels(t *testing.T) {
	sets := []map[string]string{{"app": "web", "tier": "front"}, {"name": "db"}}
	for _, c := range []struct {
		selector map[string]string
		want     string
	}{
		{map[string]string{"app": "wbe"}, "app=web, not app=wbe"},
		{map[string]string{"app": "web", "tier": "frnt"}, "tier=front, not tier=frnt"},
		{map[string]string{"nam": "db"}, "name=db, not nam=db"},
		{map[string]string{"app": "api"}, ""},
		{map[string]string{"app": "web", "zone": "eu"}, ""},
	} {
		if got := nearLabels(c.selector, sets); got != c.want {
			t.Errorf("nearLabels(%v) = %q, want %q", c.selector, got, c.want)
		}
	}
}

// Names of any length are compared in bounded time, and wrong UTF-8 does no harm.
func FuzzNear(f *testing.F) {
	f.Add("web", "wbe")
	f.Fuzz(func(t *testing.T, a, b string) {
		if d := distance(a, b); d != distance(b, a) || d < 0 || d > max(len(a), len(b)) {
			t.Errorf("distance(%q, %q) = %d, the other way %d", a, b, d, distance(b, a))
		}
	})
}
