// Package jsonlog reads the logs that Docker's json-file driver writes: a file of entries, each
// a line of JSON with at most 16 KiB of text, and the files that rotation has renamed. It reads
// the files, not the engine's log API, which puts a timestamp into a line at every 16 KiB and
// repeats lines when a log that is followed is rotated. It writes nothing to a log and keeps
// nothing between calls, so that any number of readers may follow one log.
package jsonlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"wheelhouse/cluster/kubelet/cri"
)

const (
	// maxLine is how many bytes of a line are kept until its end is there. What is longer is
	// passed on in parts, with one timestamp.
	maxLine = 1 << 20
	// A log that is followed is read again after pollFirst, doubling to pollMax while it does
	// not grow.
	pollFirst = 10 * time.Millisecond
	pollMax   = 250 * time.Millisecond
	// timestamp is the form of upstream's timestamps in logs.
	timestamp = "2006-01-02T15:04:05.000000000Z07:00"
)

// Options are what of a log is read, and where to. A nil writer leaves out its stream.
type Options struct {
	cri.LogOptions
	Stdout, Stderr io.Writer
	Ended          <-chan struct{} // closed when nothing more will be written to the log
}

// Read copies the lines of the log at path, each in one write, in their order and once, over
// the files of its rotation. A log that does not exist is empty. With Follow it returns when
// Ended is closed and all is copied; else at the end of the log, or with the error of a writer
// or of ctx. A reader that is slower than all files of a log together misses what they lose.
func Read(ctx context.Context, path string, o Options) error {
	r := &reader{path: path, out: lines{Options: o, open: map[string]*line{}}}
	files, err := newer(path, nil, os.Open)
	if err != nil {
		return err
	}
	if files, err = begin(files, &r.out); err != nil {
		return err
	}
	if err = r.copyAll(ctx, files); err == nil && o.Follow {
		err = r.follow(ctx)
	}
	if r.at != nil {
		r.at.Close()
	}
	if err != nil {
		return err
	}
	return r.out.end()
}

// begin closes the files that are not read, and seeks to where the last lines begin.
func begin(files []*file, out *lines) ([]*file, error) {
	for !out.Since.IsZero() && len(files) > 1 && files[0].info.ModTime().Before(out.Since) {
		files[0].Close()
		files = files[1:]
	}
	left, open := out.Tail, map[string]bool{}
	for i := len(files) - 1; i >= 0 && out.Tail >= 0; i-- {
		var seekErr error
		more, err := files[i].backward(func(at int64, raw []byte) bool {
			e, ok := parse(raw)
			if !ok || out.writer(e.Stream) == nil {
				return true
			}
			if whole := strings.HasSuffix(e.Log, "\n"); whole || !open[e.Stream] { // the last part of a line
				open[e.Stream] = true
				if left == 0 {
					seekErr = files[i].seek(at + int64(len(raw)) + 1)
					return false
				}
				left--
			}
			return true
		})
		if err := errors.Join(err, seekErr); err != nil {
			closeAll(files)
			return nil, fmt.Errorf("read the end of the log: %w", err)
		}
		if !more {
			closeAll(files[:i])
			return files[i:], nil
		}
	}
	return files, nil
}

// reader is at one file of a log; those before it have been copied.
type reader struct {
	path string
	out  lines
	at   *file // nil if there is no file yet
}

// copyAll copies the files to their ends, and stays at the last one.
func (r *reader) copyAll(ctx context.Context, files []*file) error {
	for i, f := range files {
		if r.at != nil {
			r.at.Close()
		}
		r.at = f
		if _, err := r.copy(ctx); err != nil {
			closeAll(files[i+1:])
			return err
		}
	}
	return nil
}

// copy copies what there is, and reports whether that was anything.
func (r *reader) copy(ctx context.Context) (some bool, err error) {
	for ctx.Err() == nil {
		entry, err := r.at.next()
		if errors.Is(err, io.EOF) {
			return some, nil
		}
		if err == nil {
			err = r.out.add(entry)
		}
		if err != nil {
			return some, err
		}
		some = true
	}
	return some, ctx.Err()
}

// follow copies what is written to the log until it has ended.
func (r *reader) follow(ctx context.Context) error {
	wait, ended := pollFirst, r.out.Ended
	for {
		last := ended == nil // what was written before is there now
		some, err := r.advance(ctx)
		switch {
		case err != nil:
			return err
		case some:
			wait = pollFirst
			continue
		case last:
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
			wait = min(2*wait, pollMax)
		case <-ended:
			ended = nil
		}
		timer.Stop()
	}
}

// advance copies what is new, in this file and in newer ones.
func (r *reader) advance(ctx context.Context) (some bool, err error) {
	if r.at != nil {
		if some, err = r.copy(ctx); some || err != nil {
			return some, err
		}
		if r.at.isNewest(r.path) {
			return r.at.restartIfTruncated()
		}
	}
	files, err := newer(r.path, r.at, os.Open)
	if err != nil || len(files) == 0 {
		return false, err
	}
	if r.at != nil { // what was written before the file was renamed
		if _, err := r.copy(ctx); err != nil {
			closeAll(files)
			return false, err
		}
	}
	return true, r.copyAll(ctx, files)
}

// entry is one line of a file.
type entry struct {
	Log    string    `json:"log"` // ends with a newline but for a part of a line
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

// parse returns false for what is no entry, as a machine that lost power leaves it.
func parse(raw []byte) (e entry, ok bool) { return e, json.Unmarshal(raw, &e) == nil }

// lines joins the parts of lines.
type lines struct {
	Options
	open map[string]*line // by stream
}

// line is what has been read of a line.
type line struct {
	at   time.Time // of its first part
	text []byte    // not passed on yet
	sent bool      // its beginning has been passed on
}

func (l *lines) writer(stream string) io.Writer {
	if stream == "stderr" {
		return l.Stderr
	}
	return l.Stdout
}

// add takes an entry, and passes on its line if that is whole.
func (l *lines) add(raw []byte) error {
	e, ok := parse(raw)
	if !ok || l.writer(e.Stream) == nil {
		return nil
	}
	have := l.open[e.Stream]
	if have == nil {
		have = &line{at: e.Time}
		l.open[e.Stream] = have
	}
	if len(have.text) == 0 && !have.sent && l.Timestamps {
		have.text = append(have.text, have.at.Format(timestamp)+" "...)
	}
	have.text = append(have.text, e.Log...)
	whole := strings.HasSuffix(e.Log, "\n")
	if whole {
		delete(l.open, e.Stream)
	}
	if whole || len(have.text) >= maxLine {
		return l.pass(e.Stream, have)
	}
	return nil
}

func (l *lines) pass(stream string, have *line) error {
	text := have.text
	have.text, have.sent = nil, true
	if have.at.Before(l.Since) || len(text) == 0 {
		return nil
	}
	_, err := l.writer(stream).Write(text)
	return err
}

// end passes on lines without an end.
func (l *lines) end() error {
	var errs []error
	for _, stream := range []string{"stdout", "stderr"} {
		if have := l.open[stream]; have != nil {
			errs = append(errs, l.pass(stream, have))
		}
	}
	return errors.Join(errs...)
}
