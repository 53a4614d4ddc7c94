package jsonlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
)

const (
	bufferSize = 64 << 10
	maxEntry   = 1 << 20 // bytes of an entry: 16 KiB of text, of which each byte may be escaped
)

// file is one file of a log.
type file struct {
	*os.File
	info os.FileInfo
	r    *bufio.Reader
	rest []byte // the beginning of an entry whose end is not written yet
}

// maxOpenings is how often the files are opened again because the log has rotated meanwhile.
const maxOpenings = 100

// newer opens the files of the log that are newer than last, or all of them, the oldest first.
// Rotation renames them: path to path.1, that to path.2. What was opened while a rotation ended
// may be out of order, and is opened again.
func newer(path string, last *file, open func(string) (*os.File, error)) ([]*file, error) {
	for range maxOpenings {
		before, _ := os.Stat(path) // nil if it is not there
		files, err := openNewer(path, last, open)
		if err != nil {
			return nil, err
		}
		if after, _ := os.Stat(path); before == nil && after == nil || before != nil && after != nil && os.SameFile(before, after) {
			return files, nil
		}
		closeAll(files)
	}
	return nil, fmt.Errorf("open the log: it has rotated during each of %d attempts; a larger max-size of the log driver helps", maxOpenings)
}

// openNewer opens the files from the newest on, so that one that is renamed meanwhile is met
// twice and none is missed; while rotation runs one name is free.
func openNewer(path string, last *file, open func(string) (*os.File, error)) ([]*file, error) {
	var out []*file
	for i, missing := 0, 0; missing < 2; i++ {
		name := path
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		f, err := open(name)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		missing = 0
		var info os.FileInfo
		if err == nil {
			info, err = f.Stat()
		}
		if err != nil {
			closeAll(append(out, &file{File: f}))
			return nil, fmt.Errorf("open the log: %w", err)
		}
		if last != nil && os.SameFile(info, last.info) {
			f.Close()
			break
		}
		if slices.ContainsFunc(out, func(o *file) bool { return os.SameFile(info, o.info) }) {
			f.Close()
			continue
		}
		out = append(out, &file{File: f, info: info, r: bufio.NewReaderSize(f, bufferSize)})
	}
	slices.Reverse(out)
	return out, nil
}

func closeAll(files []*file) {
	for _, f := range files {
		f.Close()
	}
}

// isNewest reports whether the log has no newer file.
func (f *file) isNewest(path string) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, f.info)
}

// seek continues at an offset.
func (f *file) seek(at int64) error {
	f.rest = f.rest[:0]
	_, err := f.Seek(at, io.SeekStart)
	f.r.Reset(f.File)
	return err
}

// restartIfTruncated continues at the beginning of a file that rotation has emptied, as it
// does where a log has only one.
func (f *file) restartIfTruncated() (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil || info.Size() >= at {
		return false, err
	}
	return true, f.seek(0)
}

// next returns the next entry, valid until the next call; io.EOF if there is no whole one yet.
func (f *file) next() ([]byte, error) {
	for {
		part, err := f.r.ReadSlice('\n')
		if err == nil && len(f.rest) == 0 {
			return part, nil
		}
		f.rest = append(f.rest, part...)
		switch {
		case err == nil:
			entry := f.rest
			f.rest = nil
			return entry, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(f.rest) > maxEntry:
			return nil, fmt.Errorf("the log has an entry of more than %d bytes", maxEntry)
		}
	}
}

// backward calls f for each whole entry and its offset, the last one first, until it returns
// false.
func (f *file) backward(each func(at int64, entry []byte) bool) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	chunk := make([]byte, bufferSize)
	var rest []byte // the end of an entry that begins before the chunk; nil until a newline is met
	first := true
	for end := info.Size(); end > 0; {
		begin := max(0, end-bufferSize)
		part := chunk[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil {
			return false, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] != '\n' {
				continue
			}
			// What follows the last newline is not whole yet.
			if entry := append(slices.Clone(part[i+1:]), rest...); !first && !each(begin+int64(i)+1, entry) {
				return false, nil
			}
			first, rest, part = false, nil, part[:i]
		}
		if rest = append(slices.Clone(part), rest...); len(rest) > maxEntry {
			return false, fmt.Errorf("the log has an entry of more than %d bytes", maxEntry)
		}
		end = begin
	}
	return first || each(0, rest), nil
}
