package web

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Built or not, each page is served; without a build it says how to get the rest.
func TestEachPageIsServed(t *testing.T) {
	for name, files := range map[string]fs.FS{"as built": Assets(), "without a build": missing(read1(t, "dist/stub.html"))} {
		for _, page := range Pages {
			w := httptest.NewRecorder()
			http.ServeFileFS(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil), files, page)
			says := w.Body.String()
			if w.Code != http.StatusOK || !strings.Contains(says, "<!doctype html>") {
				t.Errorf("%s: %s: %d %.80q", name, page, w.Code, says)
			}
			if scripts := strings.Contains(says, "<script"); scripts != (name == "as built" && Built()) || !scripts && !strings.Contains(says, "make build") {
				t.Errorf("%s: %s: %q", name, page, says)
			}
		}
	}
	if _, err := missing("x").Open("style.css"); err == nil {
		t.Error("without a build, a file is served that is no page")
	}
}

func read1(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each language has all texts of English, with the same values in them, and no others.
func TestLanguagesHaveAllTexts(t *testing.T) {
	values := regexp.MustCompile(`\{\w+\}`)
	texts := func(path string) map[string]string {
		m := map[string]string{}
		if err := json.Unmarshal(read1(t, path), &m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return m
	}
	set := func(s string) []string {
		found := values.FindAllString(s, -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	english := texts("lang/en.json")
	files, _ := filepath.Glob("lang/*.json")
	if len(files) < 2 {
		t.Fatalf("languages: %q; wanted English and another one", files)
	}
	for _, path := range files {
		other := texts(path)
		for key, text := range english {
			switch {
			case strings.TrimSpace(other[key]) == "":
				t.Errorf("%s lacks %q", path, key)
			case !slices.Equal(set(text), set(other[key])):
				t.Errorf("%s: %q has the values %q, but English has %q", path, key, set(other[key]), set(text))
			case strings.Count(text, "|") != strings.Count(other[key], "|"):
				t.Errorf("%s: %q has other forms than English: %q", path, key, other[key])
			}
		}
		for key := range other {
			if _, there := english[key]; !there {
				t.Errorf("%s: %q is no text of English", path, key)
			}
		}
	}
}

// Each text is used by a page, so that no translator works for nothing.
func TestEachTextIsUsed(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir("src", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			source.Write(read1(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	if err := json.Unmarshal(read1(t, "lang/en.json"), &keys); err != nil {
		t.Fatal(err)
	}
	// Some keys have values in them: t(`check.${c.state}`).
	var used []*regexp.Regexp
	for _, m := range regexp.MustCompile("`([a-z.]*(?:\\$\\{[^}]+\\}[a-z.]*)+)`").FindAllStringSubmatch(source.String(), -1) {
		fixed := regexp.MustCompile(`\$\{[^}]+\}`).Split(m[1], -1)
		for i := range fixed {
			fixed[i] = regexp.QuoteMeta(fixed[i])
		}
		if strings.Contains(fixed[0], ".") {
			used = append(used, regexp.MustCompile("^"+strings.Join(fixed, `[a-z-]+`)+"$"))
		}
	}
	for key := range keys {
		if !strings.Contains(source.String(), `"`+key+`"`) && !slices.ContainsFunc(used, func(r *regexp.Regexp) bool { return r.MatchString(key) }) {
			t.Errorf("no page uses %q", key)
		}
	}
}

// The lock file has a hash for each package and names no host.
func TestLockFileIsComplete(t *testing.T) {
	var lock struct {
		Packages map[string]struct{ Version, Integrity, Resolved string }
	}
	if err := json.Unmarshal(read1(t, "package-lock.json"), &lock); err != nil {
		t.Fatal(err)
	}
	if len(lock.Packages) < 5 {
		t.Fatalf("%d packages", len(lock.Packages))
	}
	for name, p := range lock.Packages {
		if name != "" && (!strings.HasPrefix(p.Integrity, "sha512-") || p.Resolved != "") {
			t.Errorf("%s %s: integrity %q, resolved %q", name, p.Version, p.Integrity, p.Resolved)
		}
	}
	if strings.Contains(string(read1(t, "package.json")), "^") || strings.Contains(string(read1(t, "package.json")), "~") {
		t.Error("package.json has a version that is not exact")
	}
}
