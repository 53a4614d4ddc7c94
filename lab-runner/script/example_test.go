package script_test

import (
	"context"
	"fmt"
	"os"

	"wheelhouse/lab-runner/script"
)

// A text's commands run in one shell, as a learner's do.
func Example() {
	items, err := script.Parse("## Colours\n```\n$ colour=blue\n$ echo $colour\nblue\n```\n\n<!-- check: it is blue -->\n")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	shell, err := script.Start(ctx, "/", nil)
	if err != nil {
		panic(err)
	}
	defer shell.Close()
	for _, item := range items {
		switch item.Kind {
		case script.Heading:
			continue
		case script.Check:
			fmt.Println("check:", item.Text)
			continue
		}
		if status, err := shell.Run(ctx, item, os.Stdout); status != 0 || err != nil {
			fmt.Println(status, err)
		}
	}
	// Output:
	// blue
	// check: it is blue
}
