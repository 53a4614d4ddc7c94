package why

import "testing"

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
