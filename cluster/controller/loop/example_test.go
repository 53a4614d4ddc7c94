package loop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"wheelhouse/cluster/controller/loop"
)

// A key comes back until its reconcile succeeds.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	tries := 0
	l := loop.New(loop.Config[string]{
		Name: "example", Workers: 1, Log: slog.New(slog.DiscardHandler),
		Reconcile: func(_ context.Context, key string) error {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
			fmt.Printf("%s is as it should be after %d tries\n", key, tries)
			stop()
			return nil
		},
	})
	l.Add("default/web")
	if err := l.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: default/web is as it should be after 3 tries
}
