package apiserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
)

// TestForms: what an answer costs in another form than the stored one is bounded, for those
// who are not administrators.
func TestForms(t *testing.T) {
	r, _ := startNamed(t)
	wide := times(60_000, ",", func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) })
	large := strings.Repeat("x", 1_000_000)
	if code := r.as("", "POST", maps, `{"metadata":{"name":"wide"},"data":{`+wide+`}}`); code != http.StatusCreated {
		t.Fatal(code)
	}
	for i := range 40 {
		if code := r.as("", "POST", "/api/v1/namespaces/default/secrets", fmt.Sprintf(`{"metadata":{"name":"s%d"},"stringData":{"a":%q}}`, i, large)); code != http.StatusCreated {
			t.Fatal(code)
		}
	}
	const secrets = "/api/v1/namespaces/default/secrets"
	for _, c := range []struct {
		name, path, accept string
		code               int
		most               uint64 // megabytes
	}{
		{"an object as YAML", maps + "/wide", asYAML, 413, 10},
		{"a list as YAML", maps, asYAML, 413, 20},
		{"a list for people", secrets + "?pretty=1", asJSON, 413, 200},
		{"a page for people", secrets + "?pretty=1&limit=2", asJSON, 200, 60},
		{"a table with the objects", secrets + "?includeObject=Object", asJSON + ";as=Table;v=v1;g=meta.k8s.io", 413, 20},
		{"a table", secrets, asJSON + ";as=Table;v=v1;g=meta.k8s.io", 200, 20},
		{"metadata", secrets, asJSON + ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", 200, 20},
		{"as it is stored", maps + "/wide", asJSON, 200, 20},
		{"a page as YAML", secrets + "?limit=1", asYAML, 200, 200},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, body := r.do("GET", c.path, "", "", "Accept", c.accept, "Who", "a")
		runtime.ReadMemStats(&after)
		used := (after.TotalAlloc-before.TotalAlloc)/megabyte - min(uint64(5*len(body)/megabyte), (after.TotalAlloc-before.TotalAlloc)/megabyte)
		if resp.StatusCode != c.code || used > c.most {
			t.Errorf("%s: %d and %d MB, want %d and at most %d: %.300s", c.name, resp.StatusCode, used, c.code, c.most, body)
		}
	}
}

// TestDeepManagedFields: a client that may write an object decides how deep its managed
// fields are; each level costs spaces when the object is shown to people.
func TestDeepManagedFields(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	deep := func(depth, n int) string {
		one := strings.Repeat(`{"f:a":`, depth) + "{}" + strings.Repeat("}", depth)
		entry := func(i int) string {
			return fmt.Sprintf(`{"manager":"m%d","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":%s}`, i, one)
		}
		return `{"metadata":{"name":"d","managedFields":[` + times(n, ",", entry) + `]}}`
	}
	if resp, body := r.do("POST", maps+"?pretty=1", asJSON, deep(30, 3)); resp.StatusCode != http.StatusCreated {
		t.Errorf("as deep as objects are: %d %.300s", resp.StatusCode, body)
	}
	r.do("DELETE", maps+"/d", "", "")
	c := cost{"", "POST", maps + "?pretty=1", asJSON, deep(2000, 5), http.StatusRequestEntityTooLarge, "deep", 20}
	c.check(r)
}

// TestKeptSeats: an answer that is more than its user may have in memory keeps its seats, but
// for no longer than other requests do: else a client that reads a little all the time would
// have them for hours.
func TestKeptSeats(t *testing.T) {
	const secrets = "/api/v1/namespaces/default/secrets"
	for _, c := range []struct {
		keep  time.Duration
		whole bool
	}{{time.Minute, true}, {time.Millisecond, false}} {
		r, h := startNamed(t, func(conf *apiserver.Config) { conf.ClientTimeouts.Keep = c.keep })
		for i := range 40 {
			body := fmt.Sprintf(`{"metadata":{"name":"s%d"},"stringData":{"a":%q}}`, i, strings.Repeat("x", 1_000_000))
			if code := r.as("", "POST", secrets, body); code != http.StatusCreated {
				t.Fatal(code)
			}
		}
		h.room = 4 << 20 // it reads, and is not slow
		conn := h.send("GET", secrets, 0, "")
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if (err == nil) != c.whole || os.IsTimeout(err) {
			t.Errorf("seats kept for %v: %d of %d bytes, %v", c.keep, n, resp.ContentLength, err)
		}
	}
}

// Errors name an Event as the group of the path does, also where it is stored in another.
func TestErrorsNameTheGroupOfThePath(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const now, old = "/apis/events.k8s.io/v1/namespaces/default/events", "/api/v1/namespaces/default/events"
	event := `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e"},"eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"example.com/c",
		"reportingInstance":"i","action":"a","reason":"r","type":"Normal","regarding":{"kind":"Pod","namespace":"default","name":"p"}}`
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", now, event, ""},
		{"POST", now, event, `"message":"events.events.k8s.io \"e\" already exists","reason":"AlreadyExists","details":{"name":"e","group":"events.k8s.io","kind":"events"}`},
		{"GET", now + "/x", "", `"message":"events.events.k8s.io \"x\" not found","reason":"NotFound","details":{"name":"x","group":"events.k8s.io","kind":"events"}`},
		{"DELETE", now + "/x", "", `events.events.k8s.io \"x\" not found`},
		{"GET", old + "/x", "", `"message":"events \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"events"}`},
		{"GET", "/apis/extensions/v1beta1/namespaces/default/deployments/x", "", `deployments.apps \"x\" not found`},
	} {
		if _, got := r.do(c.method, c.path, asJSON, c.body); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
}
