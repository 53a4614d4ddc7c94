package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Store is the progress file. Its methods are safe for concurrent use, by several processes as well: each change
// reads the file, changes it and replaces it, under a lock.
type Store struct {
	path string // empty: the progress is in memory alone
	now  func() time.Time
	mu   sync.Mutex
	mem  []byte
	// Noted receives what there is to show of a session after each change of it; nil: nothing does. It is set before the
	// first session is opened, is called by one session at a time in order, and must not block.
	Noted func(View)
	// warn receives once a text for each broken file that was set aside.
	warn func(string)
}

// StorePath returns where the progress is: $XDG_STATE_HOME/wheelhouse-labs/progress.json, else below ~/.local/state.
func StorePath() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) { // as the XDG base directory specification says of relative ones
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no home directory for the progress file: set XDG_STATE_HOME (%w)", err)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "wheelhouse-labs", "progress.json"), nil
}

// NewStore returns the store of a file, which need not exist; of none: the progress is kept in memory. warn is called
// when a broken file was set aside.
func NewStore(path string, warn func(string)) *Store {
	return &Store{path: path, now: time.Now, warn: warn}
}

// Progress returns what was done so far.
func (s *Store) Progress() (*Progress, error) {
	var out *Progress
	err := s.locked(func() error {
		var err error
		out, err = s.read()
		return err
	})
	return out, err
}

// Update changes the progress. Without a change of it the file is not written.
func (s *Store) Update(change func(*Progress)) error {
	return s.locked(func() error {
		p, err := s.read()
		if err != nil {
			return err
		}
		before, err := json.Marshal(p)
		if err != nil {
			return err
		}
		change(p)
		after, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return err
		}
		if compact, err := json.Marshal(p); err != nil || string(compact) == string(before) {
			return err
		}
		return s.write(after)
	})
}

func (s *Store) locked(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return f()
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("the progress file's directory: %w", err)
	}
	lock, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("the progress file's lock: %w", err)
	}
	defer lock.Close() // which gives the lock up
	if err := exclusive(lock); err != nil {
		return fmt.Errorf("the progress file's lock: %w", err)
	}
	return f()
}

// read returns the progress. A file that cannot be understood is renamed, so that nothing in it is lost, and the
// progress begins again.
func (s *Store) read() (*Progress, error) {
	text := s.mem
	if s.path != "" {
		var err error
		text, err = os.ReadFile(s.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the progress file: %w", err)
		}
	}
	p := newProgress()
	if len(text) == 0 && s.path == "" || text == nil {
		return p, nil
	}
	broken := json.Unmarshal(text, p)
	if broken == nil && p.Version != 1 {
		broken = fmt.Errorf("its version is %d, and this program writes 1", p.Version)
	}
	if broken == nil {
		if p.Labs == nil {
			p.Labs = map[string]*LabProgress{}
		}
		for id, l := range p.Labs {
			if l == nil {
				delete(p.Labs, id)
			}
		}
		return p, nil
	}
	aside := s.path + ".broken-" + s.now().UTC().Format("20060102T150405.000")
	if err := os.Rename(s.path, aside); err != nil {
		return nil, fmt.Errorf("the progress file %s is broken (%w), and cannot be set aside: %w", s.path, broken, err)
	}
	if s.warn != nil {
		s.warn(fmt.Sprintf("the progress file %s is broken (%v): it was set aside as %s, and the progress begins again; the labs' files and objects are untouched",
			s.path, broken, aside))
	}
	return newProgress(), nil
}

// write replaces the file at once: a reader sees the old or the new one.
func (s *Store) write(text []byte) error {
	if s.path == "" {
		s.mem = text
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), ".progress-")
	if err != nil {
		return fmt.Errorf("writing the progress: %w", err)
	}
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("writing the progress: %w", err)
	}
	return nil
}
