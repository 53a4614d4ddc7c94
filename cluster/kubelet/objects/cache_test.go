package objects

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// counting counts requests; it answers when the test sends the error.
type counting struct {
	asked  atomic.Int32
	answer chan error
}

func (c *counting) ConfigMap(_ context.Context, _, name string) (*v1.ConfigMap, error) {
	c.asked.Add(1)
	m := &v1.ConfigMap{}
	m.Name = name
	return m, <-c.answer
}

func (c *counting) Secret(context.Context, string, string) (*v1.Secret, error) {
	return nil, errors.New("no secrets")
}

func TestShared(t *testing.T) {
	c := &counting{answer: make(chan error, 10)}
	s := NewCache(c)
	ctx := context.Background()
	c.answer <- errors.New("not now")
	if _, err := s.ConfigMap(ctx, "ns", "a"); err == nil {
		t.Error("an error is no error")
	}
	c.answer <- nil
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if m, err := s.ConfigMap(ctx, "ns", "a"); err != nil || m.Name != "a" {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
	all.Wait()
	if n := c.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want once after the error", n)
	}
	c.answer <- nil
	if m, err := s.ConfigMap(ctx, "ns", "b"); err != nil || m.Name != "b" {
		t.Errorf("another one: %v, %v", m, err)
	}
	if _, err := s.Secret(ctx, "ns", "a"); err == nil {
		t.Error("a secret of a config map's name")
	}
}
