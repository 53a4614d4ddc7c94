// Package reporter reports to a class where a learner is who works on a cluster of their own. It joins over HTTPS, keeps what it
// has joined in a file, and sends the state of the current step whenever that changes.
//
// It never sends what a learner types, or what a command or a check has printed: lab, step, how many checks are done, the
// name of one that is not, and the newest event about it. It never blocks a lab. The class is trusted with that alone:
// only a certificate of the authority that was agreed to is accepted, answers are bounded in size and time, and no
// redirect is followed. The caller prints what it returns, and calls Close at the end of a command.
package reporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Class is what is kept of a class that was joined: the content of the file. It has a secret.
type Class struct {
	Address   string `json:"address"`   // https://HOST[:PORT]/[PREFIX/]
	Authority string `json:"authority"` // PEM: the one authority whose certificates are accepted
	Token     string `json:"token"`
	Name      string `json:"name"` // of the learner
}

const (
	fileMost  = 64 << 10 // bytes of the file
	tokenMost = 512
)

// Load returns the class of a file, nil if there is no file.
func Load(path string) (*Class, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the class that was joined: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, fileMost))
	c := &Class{}
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	if err == nil {
		c.Address, err = Address(c.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("the class that was joined: %s cannot be read (%w): 'lab leave' removes it, 'lab join' joins again", path, err)
	}
	return c, nil
}

// Save replaces the file, which its owner alone can read.
func (c *Class) Save(path string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keeping what was joined: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".class-") // of mode 0600
	if err != nil {
		return fmt.Errorf("keeping what was joined: %w", err)
	}
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("keeping what was joined: %w", err)
	}
	return nil
}
