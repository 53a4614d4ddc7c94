package catalog_test

import (
	"fmt"

	"wheelhouse/lab-runner/catalog"
)

// The labs of this tree, and the checks of one of them.
func ExampleLoad() {
	root, err := catalog.Root("../..")
	if err != nil {
		panic(err)
	}
	labs, err := catalog.Load(root)
	if err != nil {
		panic(err)
	}
	first, err := catalog.Pick(labs, []string{"inspector"})
	if err != nil {
		panic(err)
	}
	fmt.Println(first[0].Track, first[0].Title, len(first[0].Scenarios) > 1)
	// Output: workshop Replicas and a service true
}
