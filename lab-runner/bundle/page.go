package bundle

import (
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Handler serves a bundle: its images at /v2/, and what Takings serves. It reads only. The caller serves it with a timeout for
// headers.
func (b *Bundle) Handler() (http.Handler, error) {
	images, err := b.Registry()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v2/", images)
	mux.Handle("/", b.Takings())
	return mux, nil
}

// Takings serves the files of a bundle below /files/, and at / a page that lists what one takes home. Its links are relative.
func (b *Bundle) Takings() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /files/", http.StripPrefix("/files", b.fileServer()))
	mux.HandleFunc("GET /{$}", b.page)
	return mux
}

// fileServer serves the members as downloads: a page among them must not run as one of this server.
func (b *Bundle) fileServer() http.Handler {
	files := http.FileServerFS(b.Files())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w)
		if !strings.HasSuffix(r.URL.Path, "/") {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Disposition", "attachment")
			name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
			if m, _, ok := b.find(name); ok {
				w.Header().Set("ETag", `"`+m.SHA256+`"`)
			}
		}
		files.ServeHTTP(w, r)
	})
}

func secure(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
}

// pageOf is the list. Its style is in the page, which has no script.
var pageOf = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wheelhouse: the class's bundle</title>
<style>body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}td{padding:.2em 1em .2em 0}code{overflow-wrap:anywhere}</style>
</head><body><h1>The class's bundle</h1>
<p>Digest <code>{{.Digest}}</code>. <a href="files/">All files</a>.</p>
{{range .Directories}}<h2>{{.Title}}</h2><table>{{range .Members}}<tr><td><a href="files/{{.Name}}">{{.Name}}</a></td><td>{{.Size}} bytes</td></tr>{{end}}</table>
{{end}}{{if .Images}}<h2>Images</h2><p>A node takes them from here with <code>--image-mirror</code> and this address.</p>
<ul>{{range .Images}}<li><code>{{.}}</code></li>{{end}}</ul>{{end}}</body></html>
`))

type listing struct {
	Title   string
	Members []Member
}

func (b *Bundle) page(w http.ResponseWriter, _ *http.Request) {
	secure(w)
	var data struct {
		Digest      string
		Directories []listing
		Images      []string
	}
	data.Digest = b.Digest()
	for _, f := range []struct{ directory, title string }{
		{"lab", "The program lab, for a learner's machine"}, {binDirectory, "The program wheelhouse, for Linux"}, {debDirectory, "Debian packages"}, {"slides", "Slides"}, {"kit", "Kits"},
	} {
		var members []Member
		for _, m := range b.members {
			if strings.HasPrefix(m.Name, f.directory+"/") {
				members = append(members, m)
			}
		}
		if len(members) > 0 {
			data.Directories = append(data.Directories, listing{f.title, members})
		}
	}
	names, err := b.ImageNames()
	if err == nil {
		data.Images = names
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err = pageOf.Execute(w, data)
	}
	if err != nil {
		http.Error(w, "the bundle's list of images cannot be read", http.StatusInternalServerError)
	}
}

// ImageNames are the full names of the images, sorted.
func (b *Bundle) ImageNames() ([]string, error) {
	i, err := b.Images()
	if err != nil {
		return nil, err
	}
	var out []string
	for repo, tags := range i.(*images).tags {
		for tag := range tags {
			out = append(out, repo+":"+tag)
		}
	}
	slices.Sort(out)
	return out, nil
}

var _ fs.ReadDirFile = (*directory)(nil)
