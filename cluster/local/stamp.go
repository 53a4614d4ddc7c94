package local

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// stamped are the programs whose content was read last.
var stamped struct {
	sync.Mutex
	file fs.FileInfo
	text string
}

// stamp returns the hash of a program's content: an identical rebuild must not restart a
// cluster. A file that has not changed is read once, since a process may start many clusters.
func stamp(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the program to start: %w", err)
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("the program to start: %w", err)
	}
	stamped.Lock()
	defer stamped.Unlock()
	if was := stamped.file; was == nil || !os.SameFile(was, now) || was.Size() != now.Size() || !was.ModTime().Equal(now.ModTime()) || time.Since(now.ModTime()) < settled {
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return "", fmt.Errorf("reading the program to start: %w", err)
		}
		stamped.file, stamped.text = now, fmt.Sprintf("%x", sum.Sum(nil))
	}
	return path + " " + stamped.text, nil
}

// settled is how old a change must be so that a later one has another time.
const settled = 2 * time.Second
