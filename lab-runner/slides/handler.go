package slides

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{"inc": func(i int) int { return i + 1 }}).ParseFS(assets, "assets/*.html"))

// Live runs what slides show on a cluster. Lab is TRACK/NAME or TRACK/NAME/STEP. Errors are one sentence for the speaker.
type Live interface {
	// Run runs a command of the lab's text in its directory, and writes what it prints.
	Run(ctx context.Context, lab, command string, out io.Writer) error
	// Map returns the lab's namespace, a row for each line of the drawing.
	Map(ctx context.Context, lab string) ([]Row, error)
	// Journey returns what happened to an object of the lab's namespace, as text.
	Journey(ctx context.Context, lab, target string) (string, error)
}

// Row is one line of a drawn map. Mark is "well", "under-way", "failed", "over", or "" for a title.
type Row struct {
	Text string `json:"text"`
	Mark string `json:"mark"`
}

// Config is what a handler needs.
type Config struct {
	// Files has TRACK/deck.md and drawings/. It must not follow links out of itself: os.Root.FS does not.
	Files fs.FS
	// Notes reports whether who asks may read the speaker's notes. nil: everybody may.
	Notes func(*http.Request) bool
	// Live returns what runs commands for who asks, or nil: then commands are handed to the page around the slides, if
	// there is one, and maps and journeys name the command that shows them. nil: nobody has one.
	Live func(*http.Request) Live
}

// policy is the content security policy of all answers: nothing from elsewhere, and nothing inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"frame-ancestors 'self'; base-uri 'none'; form-action 'none'"

// Handler serves the decks: a list at "/", each at "/TRACK/", the same in another language with ?lang=. All addresses
// in its pages are relative, so that it works below any prefix that the caller strips (http.StripPrefix).
// What is run is named by its number on a slide; a request has no command in it.
func Handler(cfg Config) http.Handler {
	h := &handler{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.list)
	mux.HandleFunc("GET /assets/{file}", h.asset)
	mux.HandleFunc("GET /drawings/{file}", h.drawing)
	mux.HandleFunc("GET /{track}", func(w http.ResponseWriter, r *http.Request) {
		to := "./" + url.PathEscape(r.PathValue("track")) + "/" // relative: the prefix stays
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusMovedPermanently)
	})
	mux.HandleFunc("GET /{track}/{$}", h.deck)
	mux.HandleFunc("GET /{track}/{file}", h.drawing)
	mux.HandleFunc("POST /{track}/run", h.run)
	mux.HandleFunc("POST /{track}/map", h.clusterMap)
	mux.HandleFunc("POST /{track}/journey", h.journey)
	return secured(mux)
}

// secured sets the headers of all answers, and refuses requests that another site's page makes.
func secured(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		if err := guard.Check(r); err != nil {
			http.Error(w, "the request is from a page of another site", http.StatusForbidden)
			return
		}
		// A form of another site cannot set this header.
		if r.Method == http.MethodPost && r.Header.Get("X-Wheelhouse") != "1" {
			http.Error(w, "the header X-Wheelhouse is missing", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type handler struct{ Config }

// entry is a deck in the list.
type entry struct {
	Track, Title string
	Minutes      int
	Slides       int
	Langs        []string
	Error        string
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	tracks, err := Tracks(h.Files)
	if err != nil {
		http.Error(w, "the decks cannot be listed: "+err.Error(), http.StatusInternalServerError)
		return
	}
	var all []entry
	for _, track := range tracks {
		if track == Instructor && !h.notes(r) {
			continue
		}
		e := entry{Track: track, Langs: Languages(h.Files, track)[1:]}
		if d, err := Read(h.Files, track, "en"); err != nil {
			e.Error = err.Error()
		} else {
			e.Title, e.Minutes, e.Slides = d.Title, d.Minutes, len(d.Slides)
		}
		all = append(all, e)
	}
	h.page(w, "list.html", struct {
		Decks   []entry
		Present bool // who presents to a class goes on doing so in the deck
	}{all, r.URL.Query().Has("present")})
}

// Instructor is the track of the deck that only who may read notes sees.
const Instructor = "instructor"

func (h *handler) notes(r *http.Request) bool { return h.Notes == nil || h.Notes(r) }

func (h *handler) live(r *http.Request) Live {
	if h.Live == nil {
		return nil
	}
	return h.Live(r)
}

// read reads the deck that a request names, and answers it if there is none.
func (h *handler) read(w http.ResponseWriter, r *http.Request) *Deck {
	track := r.PathValue("track")
	if track == Instructor && !h.notes(r) {
		http.Error(w, "this deck is for the instructor: log in first", http.StatusForbidden)
		return nil
	}
	d, err := Read(h.Files, track, r.URL.Query().Get("lang"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "there is no such deck; the list of decks is one level up", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		return d
	}
	return nil
}

func (h *handler) deck(w http.ResponseWriter, r *http.Request) {
	d := h.read(w, r)
	if d == nil {
		return
	}
	h.page(w, "deck.html", struct {
		*Deck
		Notes, Live bool
		Langs       []string
	}{d, h.notes(r), h.live(r) != nil, Languages(h.Files, d.Track)})
}

func (h *handler) page(w http.ResponseWriter, name string, data any) {
	var html bytes.Buffer
	if err := pages.ExecuteTemplate(&html, name, data); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(html.Bytes()) // fails only if the client has closed the connection
}

func (h *handler) asset(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("file"); path.Ext(name) {
	case ".css", ".js":
		http.ServeFileFS(w, r, assets, path.Join("assets", name))
	default:
		http.NotFound(w, r)
	}
}

// drawing serves an image, which cannot run a script even where it is opened as a page.
func (h *handler) drawing(w http.ResponseWriter, r *http.Request) {
	track, name := r.PathValue("track"), r.PathValue("file")
	if track == "" {
		track = "drawings"
	}
	if !trackName.MatchString(track) || !imagePath.MatchString(name) || strings.Contains(name, "/") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'self'")
	if path.Ext(name) == ".svg" {
		w.Header().Set("Content-Type", "image/svg+xml")
	}
	http.ServeFileFS(w, r, h.Files, path.Join(track, name))
}

// runTime bounds what a request runs on the cluster.
const runTime = 3 * time.Minute
