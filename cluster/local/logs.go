package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	logLimit = 16 << 20 // a longer log is rotated when its process starts, and by TrimLogs
	logKept  = 1 << 20  // of what TrimLogs takes away
	tailRead = 64 << 10
)

// tail returns the last lines of a log, for an error message.
func tail(path string, lines int) string {
	text, err := last(path, tailRead)
	if errors.Is(err, fs.ErrNotExist) || len(text) == 0 {
		return "(nothing logged)"
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// last returns the end of a file, at most so many bytes.
func last(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, st.Size()-most), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// TrimLogs shortens the logs of the cluster's processes that are long, while these run: their end is kept beside them. What is
// logged meanwhile may be lost. Of a sealed cluster the learner decides how much is logged.
func TrimLogs(ctx context.Context, cfg Config) error {
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(cfg.dir(), "log", "*.log"))
	errs := []error{err}
	for _, path := range logs {
		if st, err := os.Stat(path); err != nil || st.Size() <= logLimit || ctx.Err() != nil {
			continue
		}
		end, err := last(path, logKept)
		if err == nil {
			err = os.WriteFile(path+".1", end, 0o640)
		}
		if err == nil {
			err = os.Truncate(path, 0) // the process appends
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("shortening %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}
