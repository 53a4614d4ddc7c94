package audit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"
)

// OutputConfig has the place of the log and its retention.
type OutputConfig struct {
	Path string // "-" is the standard output
	// A file of MaxSize megabytes is put aside; MaxBackups of those are kept, and none
	// longer than MaxAge days. 0 keeps all.
	MaxSize, MaxBackups, MaxAge int
}

type standardOutput struct{ io.Writer }

func (standardOutput) Close() error { return nil }

// Open opens the log's file, which only its owner can read.
func (c OutputConfig) Open() (io.WriteCloser, error) {
	if c.Path == "-" {
		return standardOutput{os.Stdout}, nil
	}
	// Errors of the file are returned now, not at the first event.
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	f, err := os.OpenFile(c.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil { // the files that are put aside have its mode
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	return &lumberjack.Logger{Filename: c.Path, MaxSize: c.MaxSize, MaxBackups: c.MaxBackups, MaxAge: c.MaxAge}, nil
}
