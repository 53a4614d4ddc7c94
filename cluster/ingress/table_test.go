package ingress

import (
	"strings"
	"testing"
	"time"
)

// routes has a backend for each host and path; a path that begins with = is exact.
func routes(t *testing.T, rules map[string][]string) *Table {
	t.Helper()
	b := &builder{table: &Table{hosts: map[string]*host{}, wildcards: map[string]*host{}, certs: newCertificates()}}
	for name, paths := range rules {
		h := b.host(name)
		for _, path := range paths {
			in, key := h.prefixes, strings.TrimRight(path, "/")
			if exact, ok := strings.CutPrefix(path, "="); ok {
				in, key = h.exact, exact
			}
			in[key] = &Backend{Service: name + path}
			h.depth = max(h.depth, strings.Count(key, "/"))
		}
	}
	return b.table
}

func TestMatch(t *testing.T) {
	table := routes(t, map[string][]string{
		"":               {"/everywhere"},
		"a.example":      {"/foo", "=/foo", "/aaa", "/aaa/bbb/", "=/slash/", "/deep/er/and/deeper"},
		"*.wild.example": {"/"},
		"b.wild.example": {"/own"},
	})
	table.fallback = &Backend{Service: "default"}
	for _, c := range []struct{ host, path, want string }{
		{"a.example", "/foo", "a.example=/foo"},
		{"a.example", "/foo/", "a.example/foo"},
		{"a.example", "/foo/x", "a.example/foo"},
		{"a.example", "/FOO", "default"},
		{"a.example", "/foobar", "default"},
		{"a.example", "/aaa", "a.example/aaa"},
		{"a.example", "/aaa/", "a.example/aaa"},
		{"a.example", "/aaa/ccc", "a.example/aaa"},
		{"a.example", "/aaaccc", "default"},
		{"a.example", "/aaa/bbb", "a.example/aaa/bbb/"},
		{"a.example", "/aaa/bbb/ccc", "a.example/aaa/bbb/"},
		{"a.example", "/aaa/bbbxyz", "a.example/aaa"},
		{"a.example", "/slash", "default"},
		{"a.example", "/slash/", "a.example=/slash/"},
		{"a.example", "/deep/er/and/deeper/still", "a.example/deep/er/and/deeper"},
		{"a.example", "/everywhere/x", "/everywhere"},
		{"a.example", "//foo", "default"},
		{"A.Example.:8080", "/foo", "a.example=/foo"},
		{"x.wild.example", "/any", "*.wild.example/"},
		{"x.y.wild.example", "/any", "default"},
		{"wild.example", "/any", "default"},
		{".wild.example", "/any", "default"},
		{"b.wild.example", "/own", "b.wild.example/own"},
		{"b.wild.example", "/other", "*.wild.example/"},
		{"[::1]:80", "/everywhere", "/everywhere"},
		{"", "/", "default"},
	} {
		if got := table.Match(c.host, c.path); got.Service != c.want {
			t.Errorf("%s%s goes to %s, want %s", c.host, c.path, got.Service, c.want)
		}
	}
}

func TestMatchRoot(t *testing.T) {
	table := routes(t, map[string][]string{"h": {"/", "=/"}})
	for path, want := range map[string]string{"/": "h=/", "/x": "h/", "/x/": "h/", "//": "h/"} {
		if got := table.Match("h", path); got.Service != want {
			t.Errorf("%s goes to %s, want %s", path, got.Service, want)
		}
	}
	if got := table.Match("other", "/"); got != nil {
		t.Errorf("another host goes to %s", got.Service)
	}
}

// A path of many elements costs no more than one of as many as the longest rule has.
func TestMatchIsBounded(t *testing.T) {
	table := routes(t, map[string][]string{"h": {"/a/b"}})
	long := strings.Repeat("/a", 1<<14)
	began := time.Now()
	const n = 10_000
	for range n {
		if table.Match("h", long) != nil {
			t.Fatal("it matches")
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%d matches took %v", n, took)
	}
}
