package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// Clusters returns the names of the clusters below a state directory, those included of which only the record is left.
func Clusters(stateDir string) (names []string, err error) {
	found, err := filepath.Glob(recordPath(filepath.Join(stateDir, "*")))
	if err != nil {
		return nil, fmt.Errorf("find clusters: %w", err)
	}
	for _, path := range found {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	return names, nil
}

// DownAll removes every cluster below cfg.StateDir as Down does. One that cannot be removed does not keep the rest.
func DownAll(ctx context.Context, cfg Config, out io.Writer) error {
	names, err := Clusters(cfg.StateDir)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		fmt.Fprintf(out, "cluster %s\n", name)
		one := cfg
		one.Name = name
		failed = append(failed, Down(ctx, one, out))
	}
	return errors.Join(failed...)
}
