package wait_test

import (
	"context"
	"fmt"
	"time"

	"wheelhouse/cluster/wait"
)

// What is waited for is named, and what is there instead is returned.
func ExampleUntil() {
	pods := 0
	err := wait.Until(context.Background(), time.Second, "two pods", func() error {
		pods++
		return wait.Seen(pods == 2, pods, " pods")
	})
	fmt.Println(pods, err)
	// Output: 2 <nil>
}
