package slides

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"sort"
	"strings"
)

var language = regexp.MustCompile(`^[a-z]{2}$`)

// Read reads the deck of a track in a language, or in English where there is no translation. It returns an error that
// is fs.ErrNotExist if the track has no deck.
func Read(files fs.FS, track, lang string) (*Deck, error) {
	if !trackName.MatchString(track) {
		return nil, fmt.Errorf("the track %q: %w", track, fs.ErrNotExist)
	}
	if language.MatchString(lang) && lang != "en" {
		d, err := read(files, track, "deck."+lang+".md", lang)
		if !errors.Is(err, fs.ErrNotExist) {
			return d, err
		}
	}
	return read(files, track, "deck.md", "en")
}

func read(files fs.FS, track, name, lang string) (*Deck, error) {
	path := track + "/" + name
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, maxDeck+1))
	if err != nil {
		return nil, err
	}
	d, err := Parse(string(text), lang)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if d.Track != track {
		return nil, fmt.Errorf("%s: the front matter names the track %s", path, d.Track)
	}
	return d, nil
}

// Tracks returns the tracks that have a deck, by name.
func Tracks(files fs.FS) ([]string, error) {
	found, err := fs.Glob(files, "*/deck.md")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, path := range found {
		if track, _, _ := strings.Cut(path, "/"); trackName.MatchString(track) && track != "assets" && track != "drawings" {
			out = append(out, track)
		}
	}
	sort.Strings(out)
	return out, nil
}

// Languages returns the languages that a track's deck is in, English first.
func Languages(files fs.FS, track string) []string {
	out := []string{"en"}
	found, err := fs.Glob(files, track+"/deck.??.md")
	if err != nil || !trackName.MatchString(track) {
		return out
	}
	for _, path := range found {
		if lang := strings.TrimSuffix(strings.TrimPrefix(path, track+"/deck."), ".md"); language.MatchString(lang) {
			out = append(out, lang)
		}
	}
	return out
}
