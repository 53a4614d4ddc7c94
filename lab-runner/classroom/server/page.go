package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// hashed are names of files that end in a hash of their content: another content has another name.
var hashed = regexp.MustCompile(`-[A-Z0-9]{8}\.(js|css)$`)

// page serves one of the pages.
func (s *Server) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.serveFile(w, r, name)
	}
}

// asset serves a file of the pages, never a directory, and answers to what nothing else serves.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/"):
		refuse(w, http.StatusNotFound, "there is nothing at this path and method; the page may be older than the server: load it again")
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "this path is only read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if !fs.ValidPath(name) || name == "." {
		http.NotFound(w, r)
		return
	}
	s.serveFile(w, r, name)
}

// serveFile does not use http.ServeFileFS, which redirects index.html to the directory.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, err := s.cfg.Assets.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	content, seekable := f.(io.ReadSeeker)
	if err != nil || info.IsDir() || !seekable {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	if hashed.MatchString(name) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, info.ModTime(), content)
}

var trustPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Trust this class</title>
<h1>How to trust this class</h1>
{{if .}}<p>The connection is encrypted with a certificate of the cluster's own authority. Your browser has no reason to trust it yet, and warns.</p>
<p><strong>Compare first.</strong> The instructor's terminal shows the authority's SHA-256 fingerprint. It must be this one:</p>
<p><code>{{.}}</code></p>
<p>Then either continue past the browser's warning for this class, or install the authority: <a href="trust/ca.crt">ca.crt</a>. Remove it after the class.</p>
<ul>
<li>Firefox: Settings, Privacy &amp; Security, Certificates, View Certificates, Authorities, Import.</li>
<li>Windows (Chrome, Edge): open the file, Install Certificate, Current User, Trusted Root Certification Authorities.</li>
<li>macOS (Safari, Chrome): open the file in Keychain Access, then set it to Always Trust.</li>
<li>Linux (Chrome): Settings, Privacy and security, Security, Manage certificates, Authorities, Import.</li>
<li>Android: Settings, Security, Encryption &amp; credentials, Install a certificate, CA certificate.</li>
<li>iOS: open the file, install the profile, then Settings, General, About, Certificate Trust Settings.</li>
</ul>
<p>An installed authority could vouch for any site: its key is on the instructor's machine.</p>
{{else}}<p>This class is served without encryption, or with a certificate of an authority of the instructor's choice: there is nothing to install.</p>
{{end}}</html>
`))

func (s *Server) trust(w http.ResponseWriter, _ *http.Request) {
	shown, _ := Fingerprint(s.cfg.CA) // empty where there is none
	var page bytes.Buffer
	if err := trustPage.Execute(&page, shown); err != nil {
		s.failed(w, "the page trust", err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes())
}

func (s *Server) authority(w http.ResponseWriter, r *http.Request) {
	if s.cfg.CA == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-x509-ca-cert")
	_, _ = w.Write(s.cfg.CA)
}

// Fingerprint returns the SHA-256 fingerprint of the first certificate of a PEM text, as browsers show it.
func Fingerprint(text []byte) (string, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("no certificate")
	}
	sum := sha256.Sum256(block.Bytes)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":"), nil
}
