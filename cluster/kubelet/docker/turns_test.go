package docker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// What is furthest gets the next turn, whoever gives up leaves none behind.
func TestTurns(t *testing.T) {
	turns := &turns{free: 1}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	first, err := turns.take(ctx, turnSandbox)
	if err != nil {
		t.Fatal(err)
	}
	waiting := func(n int) {
		t.Helper()
		for {
			turns.mu.Lock()
			have := turns.waiting.Len()
			turns.mu.Unlock()
			if have == n {
				return
			}
			if ctx.Err() != nil {
				t.Fatalf("%d wait, want %d", have, n)
			}
		}
	}
	order := make(chan int, 4)
	for i, stage := range []int{turnSandbox, turnCreate, turnStart, turnStart} {
		go func() {
			done, err := turns.take(ctx, stage)
			if err != nil {
				t.Error(err)
				return
			}
			order <- i
			done()
		}()
		waiting(i + 1)
	}
	hasty, leave := context.WithCancel(ctx)
	left := make(chan error, 1)
	go func() {
		_, err := turns.take(hasty, turnStart)
		left <- err
	}()
	waiting(5)
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("gave up with %v", err)
	}
	first()
	var got []int
	for range 4 {
		select {
		case i := <-order:
			got = append(got, i)
		case <-ctx.Done():
			t.Fatalf("turns went to %v only", got)
		}
	}
	if want := []int{2, 3, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("turns went to %v, want %v", got, want)
	}
	done, err := turns.take(ctx, turnStart)
	if err != nil {
		t.Fatal(err)
	}
	done()
}
