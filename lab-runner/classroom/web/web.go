// Package web has the pages of a class: the learner's, the instructor's board and the cluster
// view. They are written in TypeScript (src), built once by build.sh (`make assets`, which
// `make build` calls) into dist, and embedded here. The package serves nothing and has no
// access to anything: the server of the class serves Assets.
//
// `go build` alone compiles without Node.js. Assets then has one page in place of each, which
// says how to get the rest, and Built reports false.
package web

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"time"
)

// ContentSecurityPolicy is what the pages need, for the header of that name: all comes from
// the server of the page. Styles may be inline since xterm.js writes the sizes and colours of
// its cells into style elements at run time; the sanitizer of foreign HTML removes style
// attributes and elements. frame-src is for slides that follow the instructor.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; " +
	"img-src 'self' data:; font-src 'self'; frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"

// Pages are the HTML files of Assets: of a learner, of the instructor, and of the cluster.
var Pages = []string{"index.html", "board.html", "cluster.html"}

//go:embed dist
var dist embed.FS

//go:embed dist/stub.html
var notBuilt []byte

// Built reports whether the pages were built before the program.
func Built() bool {
	_, err := fs.Stat(dist, "dist/"+Pages[0])
	return err == nil
}

// Assets returns the files of the pages, with Pages at its root. All URLs in them are relative to
// their page, so that they work under any path prefix. Names of scripts and styles end in a
// hash of their content, except those in Pages and in lang/.
func Assets() fs.FS {
	if files, err := fs.Sub(dist, "dist"); err == nil && Built() {
		return files
	}
	return missing(notBuilt)
}

// missing is a file system that has one text for each of Pages, and nothing else.
type missing []byte

func (m missing) Open(name string) (fs.File, error) {
	for _, page := range Pages {
		if name == page {
			return &missingFile{name, bytes.NewReader(m)}, nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

type missingFile struct {
	name string
	*bytes.Reader
}

func (f *missingFile) Stat() (fs.FileInfo, error) { return missingInfo{f.name, f.Size()}, nil }
func (f *missingFile) Close() error               { return nil }

// ReadDir exists so that a server reports a file instead of a missing method.
func (f *missingFile) ReadDir(int) ([]fs.DirEntry, error) {
	return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: errors.ErrUnsupported}
}

type missingInfo struct {
	name string
	size int64
}

func (i missingInfo) Name() string     { return i.name }
func (i missingInfo) Size() int64      { return i.size }
func (missingInfo) Mode() fs.FileMode  { return 0o444 }
func (missingInfo) ModTime() time.Time { return time.Time{} }
func (missingInfo) IsDir() bool        { return false }
func (missingInfo) Sys() any           { return nil }
