package ingress

import (
	"testing"
	"time"
)

// A certificate is parsed once, as long as its Secret is used and does not change.
func TestCertCache(t *testing.T) {
	var c certCache
	s := tlsSecret("s", "a.example")
	c.begin()
	first := must(c.parse(s))
	c.begin()
	if must(c.parse(s)) != first {
		t.Error("the same Secret is parsed again")
	}
	changed := s.DeepCopy()
	changed.ResourceVersion = "2"
	if must(c.parse(changed)) == first {
		t.Error("a changed Secret is not parsed")
	}
	c.begin()
	c.begin()
	if len(c.last)+len(c.next) != 0 {
		t.Error("what is not used is kept")
	}
}

func TestSelfSigned(t *testing.T) {
	c := must(selfSigned())
	if now := time.Now(); now.Before(c.Leaf.NotBefore) || now.AddDate(9, 0, 0).After(c.Leaf.NotAfter) {
		t.Errorf("valid from %v to %v", c.Leaf.NotBefore, c.Leaf.NotAfter)
	}
}
