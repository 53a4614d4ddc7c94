package fetch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"wheelhouse/lab-runner/fetch"
)

// A directory is copied; its checksum says whether the files are those that were meant.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "fetch-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	source, dst := filepath.Join(dir, "manifests"), filepath.Join(dir, "copy")
	for _, err := range []error{os.Mkdir(source, 0o755), os.WriteFile(filepath.Join(source, "pod.yaml"), []byte("kind: Pod\n"), 0o644)} {
		if err != nil {
			panic(err)
		}
	}
	sum, err := fetch.Pin(ctx, fetch.Config{Source: source})
	fmt.Println(sum[:7], err)

	fmt.Println(fetch.Fetch(ctx, fetch.Config{Source: source, Checksum: sum, Dst: dst}))
	text, err := os.ReadFile(filepath.Join(dst, "pod.yaml"))
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// sha256: <nil>
	// <nil>
	// kind: Pod
	// <nil>
}
