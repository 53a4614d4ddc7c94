package slides

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"wheelhouse/lab-runner/catalog"
)

// Lint returns what is wrong with the decks, a sentence each, in the order of the files. Each slide has notes that begin
// with its time, and the times add up to the deck's minutes; a slide with a lab says in its notes what goes wrong. A lab
// and its step exist, and a command of a slide with a lab is in the text of that lab or step, which `lab test` runs.
// Commands of other slides are for the caller to check: Free returns them. Drawings exist, run nothing, fetch nothing,
// have a title, and have letters that can be read on a phone.
func Lint(files fs.FS, labs []*catalog.Lab) (found []string, err error) {
	paths, err := fs.Glob(files, "*/deck*.md")
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		track, name := path.Split(p)
		track = strings.TrimSuffix(track, "/")
		lang := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "deck"), "."), "md")
		d, err := read(files, track, name, strings.TrimSuffix(lang, "."))
		if err != nil {
			found = append(found, err.Error())
			continue
		}
		sum := 0
		for i := range d.Slides {
			s := &d.Slides[i]
			sum += s.Minutes
			for _, fault := range slices.Concat(s.said(), s.known(labs), s.drawn(files, track)) {
				found = append(found, fmt.Sprintf("%s line %d: %q: %s", p, s.Line, s.Title, fault))
			}
		}
		if sum != d.Minutes {
			found = append(found, fmt.Sprintf("%s: the slides take %d minutes, the front matter says %d", p, sum, d.Minutes))
		}
	}
	drawings, err := fs.Glob(files, "*/*.svg")
	if err != nil {
		return nil, err
	}
	for _, p := range drawings {
		if err := checkDrawing(files, p); err != nil {
			found = append(found, fmt.Sprintf("%s: %v", p, err))
		}
	}
	return found, nil
}

// Free returns the commands of slides that belong to no lab.
func Free(d *Deck) (out []string) {
	for i := range d.Slides {
		if d.Slides[i].Lab == "" {
			out = append(out, d.Slides[i].Commands()...)
		}
	}
	return out
}

// enough is the number of words that notes have at least, their time included.
const enough = 15

// said returns what is wrong with the notes.
func (s *Slide) said() (faults []string) {
	if s.Minutes < 1 {
		faults = append(faults, "the notes do not begin with the slide's time, such as \"3 min.\"")
	}
	if n := len(strings.Fields(s.notes)); n < enough {
		faults = append(faults, fmt.Sprintf("the notes have %d words; say in %d at least what to say, to ask or to watch for", n, enough))
	}
	return faults
}

// known returns what the labs do not have.
func (s *Slide) known(labs []*catalog.Lab) (faults []string) {
	if s.Lab == "" {
		if s.Has(Map) || s.Has(Journey) {
			return []string{"a map or a journey needs a lab, whose namespace it shows"}
		}
		return nil
	}
	lab, step, err := catalog.Find(labs, s.Lab)
	if err != nil {
		return []string{err.Error()}
	}
	steps := lab.Steps
	if step >= 0 {
		steps = steps[step : step+1]
	}
	for _, command := range s.Commands() {
		in := func(st catalog.Step) bool {
			for _, item := range st.Commands {
				if item.Text == command {
					return true
				}
			}
			return false
		}
		if !slices.ContainsFunc(steps, in) {
			faults = append(faults, fmt.Sprintf("%s does not have the command %q", s.Lab, command))
		}
	}
	return faults
}

// drawn returns which drawings are missing or have no words for those who do not see them.
func (s *Slide) drawn(files fs.FS, track string) (faults []string) {
	for _, b := range s.Blocks {
		if b.Kind != Drawing {
			continue
		}
		if _, err := fs.Stat(files, path.Join(track, b.Image)); err != nil {
			faults = append(faults, fmt.Sprintf("there is no drawing %s", b.Image))
		}
		if len(strings.Fields(b.Alt)) < 3 {
			faults = append(faults, fmt.Sprintf("the drawing %s has no description", b.Image))
		}
	}
	return faults
}

// legible is the least size of letters, where a drawing is 640 wide: 11 pixels on a phone of 360.
const legible = 20.0

// checkDrawing returns an error for a drawing that runs or fetches something, or cannot be read.
func checkDrawing(files fs.FS, p string) error {
	f, err := files.Open(p)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	in := xml.NewDecoder(io.LimitReader(f, maxDeck))
	width, titled := 0.0, false
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		titled = titled || e.Name.Local == "title"
		if err := checkElement(e, &width); err != nil {
			return err
		}
	}
	if !titled || width == 0 {
		return errors.New("a drawing has a title and a viewBox")
	}
	return nil
}

// allowed are the elements of drawings.
var allowed = []string{"svg", "title", "desc", "g", "rect", "circle", "ellipse", "line", "polyline", "polygon", "path", "text", "tspan", "defs", "marker", "use"}

// checkElement returns an error for an element that a drawing may not have. width is that of the viewBox.
func checkElement(e xml.StartElement, width *float64) error {
	if !slices.Contains(allowed, e.Name.Local) {
		return fmt.Errorf("the element %s is not one of %s", e.Name.Local, strings.Join(allowed, ", "))
	}
	for _, a := range e.Attr {
		switch name := a.Name.Local; {
		case strings.HasPrefix(name, "on") || name == "style":
			return fmt.Errorf("the attribute %s is not allowed", name)
		case name == "href" && !strings.HasPrefix(a.Value, "#"):
			return fmt.Errorf("the address %q is not in the drawing", a.Value)
		case name == "viewBox":
			if box := strings.Fields(a.Value); len(box) == 4 {
				*width, _ = strconv.ParseFloat(box[2], 64)
			}
		case name == "font-size":
			size, err := strconv.ParseFloat(a.Value, 64)
			if least := legible * *width / 640; err != nil || size < least {
				return fmt.Errorf("letters of size %s: at least %.0f in a drawing %.0f wide", a.Value, least, *width)
			}
		}
	}
	return nil
}
