package journal

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// The last entries of an object are kept in their order, and no more.
func TestLastEntries(t *testing.T) {
	l := New()
	for i := range MostEntries + 5 {
		l.Add("a", Entry{ResourceVersion: int64(i), Client: strings.Repeat("x", 10_000)})
		l.Add("b", Entry{ResourceVersion: -1})
	}
	got := l.Of("a")
	if len(got) != MostEntries {
		t.Fatalf("%d entries", len(got))
	}
	for i, e := range got {
		if e.ResourceVersion != int64(i+5) || len(e.Client) != longest {
			t.Errorf("entry %d is %d of %d bytes", i, e.ResourceVersion, len(e.Client))
		}
	}
	if n := len(l.Of("c")); n != 0 {
		t.Errorf("%d entries of an object without", n)
	}
	var none *Log
	none.Add("a", Entry{})
	if none.Of("a") != nil {
		t.Error("entries of none")
	}
}

// However many objects there are, those that something was added to last are known.
func TestBoundedObjects(t *testing.T) {
	l := New()
	for i := range 10 * MostObjects {
		l.Add(types.UID(fmt.Sprint(i)), Entry{})
		if i%100 == 0 {
			l.Add("often", Entry{})
		}
	}
	if n := len(l.young) + len(l.old); n > 2*MostObjects {
		t.Errorf("%d objects in memory", n)
	}
	for _, uid := range []string{"often", fmt.Sprint(9*MostObjects + 1), fmt.Sprint(10*MostObjects - 1)} {
		if l.Of(types.UID(uid)) == nil {
			t.Errorf("%s is removed", uid)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	l := New()
	uids := make([]types.UID, 4*MostObjects)
	for i := range uids {
		uids[i] = types.UID(fmt.Sprint("3c1e7f4e-0000-0000-0000-", i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Add(uids[i%len(uids)], Entry{Component: "kube-apiserver", Verb: "create", User: "admin"})
	}
}
