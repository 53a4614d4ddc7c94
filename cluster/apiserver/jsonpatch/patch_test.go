package jsonpatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	upstream "gopkg.in/evanphx/json-patch.v4"

	"wheelhouse/cluster/apiserver/jsonpatch"
)

// TestAsUpstream compares random patches with the library that upstream uses: the same
// document, or the same words of refusal.
func TestAsUpstream(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	applied, refused := 0, 0
	for range 30000 {
		doc := object(random, 3)
		patch := "[" + repeat(1+random.IntN(4), ",", func(int) string { return operation(random) }) + "]"
		theirs, err := upstream.DecodePatch([]byte(patch))
		if err != nil {
			t.Fatalf("%s: %v", patch, err)
		}
		want, ok, wantErr := applyUpstream(theirs, doc)
		if !ok {
			continue
		}
		ours, err := jsonpatch.Decode([]byte(patch))
		if err != nil {
			t.Fatalf("%s: %v", patch, err)
		}
		got, gotErr := ours.Apply(t.Context(), []byte(doc))
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || canonical(t, got) != canonical(t, want) {
			t.Fatalf("%s\non %s\ngives %s, %v\nupstream %s, %v", patch, doc, got, gotErr, want, wantErr)
		}
		if wantErr == nil {
			applied++
		} else {
			refused++
		}
	}
	if applied < 1000 || refused < 1000 {
		t.Errorf("%d patches applied and %d refused: that compares too little", applied, refused)
	}
}

// applyUpstream returns not ok where the library panics, as it does for nulls in lists.
func applyUpstream(p upstream.Patch, doc string) (out []byte, ok bool, err error) {
	defer func() { ok = recover() == nil }()
	out, err = p.Apply([]byte(doc))
	return out, true, err
}

func TestMergeAsUpstream(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	for range 30000 {
		doc, patch := object(random, 3), object(random, 3)
		want, err := upstream.MergePatch([]byte(doc), []byte(patch))
		if err != nil {
			t.Fatal(err)
		}
		got, err := jsonpatch.Merge(t.Context(), []byte(doc), []byte(patch))
		if err != nil || canonical(t, got) != canonical(t, want) {
			t.Fatalf("%s\non %s\ngives %s, %v\nupstream %s", patch, doc, got, err, want)
		}
	}
}

func object(r *rand.Rand, depth int) string {
	return "{" + repeat(r.IntN(4), ",", func(i int) string { return fmt.Sprintf(`"%c":%s`, 'a'+i, value(r, depth-1)) }) + "}"
}

func value(r *rand.Rand, depth int) string {
	switch n := r.IntN(8); {
	case n < 2 && depth > 0:
		return object(r, depth)
	case n < 4 && depth > 0:
		return "[ " + repeat(r.IntN(3), " , ", func(int) string { return value(r, depth-1) }) + "]"
	case n < 5:
		return "null"
	case n < 6:
		return `"x\"}\\"`
	}
	return fmt.Sprint(r.IntN(3))
}

func operation(r *rand.Rand) string {
	path := func() string {
		return repeat(r.IntN(4), "", func(int) string {
			return "/" + []string{"a", "b", "c", "0", "1", "-1", "-", "2", "x~1y", "-3"}[r.IntN(10)]
		})
	}
	members := []string{fmt.Sprintf(`"op":%q`, []string{"add", "remove", "replace", "move", "test", "copy", "add", "test", "huh"}[r.IntN(9)])}
	if r.IntN(20) > 0 {
		members = append(members, fmt.Sprintf(`"path":%q`, path()))
	}
	if r.IntN(10) > 0 {
		members = append(members, fmt.Sprintf(`"from":%q`, path()))
	}
	// Without a value, replacing the whole document makes the library panic.
	return "{" + strings.Join(append(members, `"value":`+object(r, 2)), ",") + "}"
}

func canonical(t *testing.T, text []byte) string {
	t.Helper()
	if len(text) == 0 {
		return ""
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func repeat(n int, between string, f func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = f(i)
	}
	return strings.Join(parts, between)
}

// TestEndings has operations on values that the random ones do not have.
func TestEndings(t *testing.T) {
	for _, c := range []struct{ patch, want, err string }{
		{`[{"op":"test","path":"/s","value":"\u0061<"}]`, `{"l":[1,2],"s":"a<"}`, ""},
		{`[{"op":"add","path":"/k\\\"~0","value":null}]`, `{"k\\\"~":null,"l":[1,2],"s":"a<"}`, ""},
		{`[{"op":"replace","path":""}]`, "", "replace operation value must be object or array"},
		{`[{"op":"replace","path":"","value":[1]}]`, "[1]", ""},
		{`[{"op":1,"path":"/a"}]`, "", "Unexpected kind: unknown"},
		{`[{"op":"test","path":"/l/99999999999999999999","value":1}]`, "", "error in test"},
	} {
		p, err := jsonpatch.Decode([]byte(c.patch))
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Apply(t.Context(), []byte(`{"s":"a<","l":[1,2]}`))
		if canonical(t, got) != canonical(t, []byte(c.want)) || !strings.Contains(fmt.Sprint(err), c.err) {
			t.Errorf("%s: %s %v", c.patch, got, err)
		}
	}
}

// TestBounds: what a patch costs has a limit, whatever it asks for.
func TestBounds(t *testing.T) {
	const elements = 1_000_000
	list := `{"op":"add","path":"/l","value":[` + repeat(elements, ",", func(int) string { return "1" }) + `]}`
	deep := strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000)
	wide := strings.Repeat(`{"a":`, 9000) + `"` + strings.Repeat("x", 1<<20) + `"` + strings.Repeat("}", 9000)
	many := func(op string) string { return repeat(9000, ",", func(int) string { return op }) }
	for name, c := range map[string]struct{ patch, err string }{
		"copies double": {
			repeat(30, ",", func(i int) string { return fmt.Sprintf(`{"op":"copy","from":"/d","path":"/d/x%d"}`, i) }),
			"the accumulated size increase of copy is",
		},
		"copies are removed again": {
			`{"op":"add","path":"/s","value":"` + strings.Repeat("x", 1<<20) + `"},` +
				many(`{"op":"copy","from":"/s","path":"/t"},{"op":"remove","path":"/t"}`),
			"the accumulated size increase of copy is",
		},
		"insertions at the beginning of a list": {list + "," + many(`{"op":"add","path":"/l/0","value":1}`), jsonpatch.ErrTooMuchWork.Error()},
		"moves within a list":                   {list + "," + many(`{"op":"move","from":"/l/0","path":"/l/1"}`), jsonpatch.ErrTooMuchWork.Error()},
		"a long way through a deep value": {
			`{"op":"add","path":"/w","value":` + wide + `},{"op":"test","path":"/w` + strings.Repeat("/a", 8999) + `","value":1}`,
			jsonpatch.ErrTooMuchWork.Error(),
		},
		"deep values in deep values": {
			`{"op":"add","path":"/d","value":` + deep + `},{"op":"add","path":"/d` + strings.Repeat("/a", 9000) + `","value":` + deep + `}`, jsonpatch.ErrTooMuchWork.Error(),
		},
		"tests of a large value": {`{"op":"add","path":"/s","value":"` + strings.Repeat("x", 2<<20) + `"},` + many(`{"op":"test","path":"/s","value":"x"}`), "test failed"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := jsonpatch.Decode([]byte("[" + c.patch + "]"))
			if err != nil {
				t.Fatal(err)
			}
			used := allocated(func() { _, err = p.Apply(t.Context(), []byte(`{"d":{"a":["0123456789"]}}`)) })
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %s", err, c.err)
			}
			const most = 512 << 20
			if used > most {
				t.Errorf("it took %d bytes", used)
			}
		})
	}
}

// TestManyOperationsOfALargeObject: what a client may want is far from the bounds.
func TestManyOperationsOfALargeObject(t *testing.T) {
	doc := `{"data":{` + repeat(10000, ",", func(i int) string { return fmt.Sprintf(`"key%d":"%s"`, i, strings.Repeat("x", 100)) }) + `}}`
	patch := "[" + repeat(10000, ",", func(i int) string {
		return fmt.Sprintf(`{"op":"test","path":"/data/key%d","value":"%s"},{"op":"replace","path":"/data/key%d","value":"y"}`, i, strings.Repeat("x", 100), i)
	}) + "]"
	p, err := jsonpatch.Decode([]byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.Apply(t.Context(), []byte(doc)); err != nil || strings.Count(string(out), `:"y"`) != 10000 {
		t.Errorf("%.100s %v", out, err)
	}
}

func TestMergeOfADeepPatch(t *testing.T) {
	deep := func(n int) string {
		return strings.Repeat(`{"a":`, n) + `{"b":"` + strings.Repeat("x", 100_000) + `"}` + strings.Repeat("}", n)
	}
	var err error
	used := allocated(func() { _, err = jsonpatch.Merge(t.Context(), []byte(`{"a":{}}`), []byte(deep(9000))) })
	if err != nil || used > 32<<20 {
		t.Errorf("a deep patch took %d bytes: %v", used, err)
	}
	if _, err = jsonpatch.Merge(t.Context(), []byte(deep(9000)), []byte(deep(9000))); !errors.Is(err, jsonpatch.ErrTooMuchWork) {
		t.Errorf("a deep patch of a deep document: %v", err)
	}
}

// TestEndsWithItsContext: the client that is gone gets no more work done for it.
func TestEndsWithItsContext(t *testing.T) {
	p, err := jsonpatch.Decode([]byte("[" + repeat(9000, ",", func(i int) string { return fmt.Sprintf(`{"op":"add","path":"/k%d","value":1}`, i) }) + "]"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := &countdown{Context: t.Context(), left: 100}
	if _, err := p.Apply(ctx, []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a patch went on for %d operations after its context had ended: %v", 9000-100, err)
	}
	ctx = &countdown{Context: t.Context(), left: 0}
	large := []byte(`{"a":{` + repeat(100_000, ",", func(i int) string { return fmt.Sprintf(`"k%d":1`, i) }) + `}}`)
	if _, err := jsonpatch.Merge(ctx, large, large); !errors.Is(err, context.Canceled) {
		t.Errorf("a merge went on after its context had ended: %v", err)
	}
}

// countdown is a context that ends when it has been looked at so often.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// allocated returns how many bytes f takes, all in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
