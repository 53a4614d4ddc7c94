package slides

import (
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Deck is one deck, parsed.
type Deck struct {
	Title   string  `json:"title"`
	Track   string  `json:"track"`
	Minutes int     `json:"minutes"` // that the slides take, without the labs
	Lang    string  `json:"-"`       // a code of two letters, such as "en"
	Slides  []Slide `json:"-"`
}

// Slide is one slide.
type Slide struct {
	Title   string
	Line    int // of the deck's file, from 1
	Minutes int
	Lab     string // TRACK/NAME or TRACK/NAME/STEP; may be empty
	Notes   template.HTML
	Blocks  []Block
	notes   string // Markdown
}

// Kind says what a Block is.
type Kind string

// The kinds of Block.
const (
	Prose    Kind = "prose"    // HTML
	Drawing  Kind = "drawing"  // an image: Image and Alt
	Commands Kind = "commands" // Lines
	Map      Kind = "map"
	Journey  Kind = "journey" // of Target
)

// Block is a part of a slide.
type Block struct {
	Kind   Kind
	HTML   template.HTML
	Image  string
	Alt    string
	Wide   bool
	Lines  []Line
	Target string // KIND/NAME
}

// Line is a command, or a line of example output.
type Line struct {
	Text    string
	Command int // its number on the slide, from 1; 0: output
}

// Commands returns the commands of the slide in order. The first has the number 1.
func (s *Slide) Commands() (out []string) {
	for _, b := range s.Blocks {
		for _, l := range b.Lines {
			if l.Command > 0 {
				out = append(out, l.Text)
			}
		}
	}
	return out
}

// Has reports whether the slide has a block of the kind.
func (s *Slide) Has(k Kind) bool {
	for _, b := range s.Blocks {
		if b.Kind == k {
			return true
		}
	}
	return false
}

// Target returns what the slide's journey is of, or "".
func (s *Slide) Target() string {
	for _, b := range s.Blocks {
		if b.Kind == Journey {
			return b.Target
		}
	}
	return ""
}

// bounds of a deck: a text of a person, which a browser shows at once.
const (
	maxDeck   = 1 << 20
	maxSlides = 200
)

var (
	trackName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	labLine   = regexp.MustCompile(`^lab: ([a-z][a-z0-9-]*/[a-z][a-z0-9-]*(?:/[a-z0-9-]+)?)$`)
	target    = regexp.MustCompile(`^[a-z]+/[a-z0-9][a-z0-9.-]*$`)
	minutes   = regexp.MustCompile(`^([0-9]{1,2}) min\.`)
)

// Parse parses a deck.
func Parse(text, lang string) (*Deck, error) {
	if len(text) > maxDeck {
		return nil, fmt.Errorf("the deck has more than %d bytes", maxDeck)
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	front, start, err := frontMatter(lines)
	if err != nil {
		return nil, err
	}
	d := &Deck{Lang: lang}
	if err := yaml.UnmarshalStrict([]byte(front), d); err != nil {
		return nil, fmt.Errorf("the front matter: %w", err)
	}
	switch {
	case d.Title == "":
		return nil, errors.New("the front matter has no title")
	case !trackName.MatchString(d.Track):
		return nil, fmt.Errorf("the front matter: track %q is not named like a-name", d.Track)
	case d.Minutes < 1 || d.Minutes > 600:
		return nil, fmt.Errorf("the front matter: minutes: %d is not between 1 and 600", d.Minutes)
	}
	for _, part := range split(lines, start) {
		s, err := parseSlide(part)
		if err != nil {
			return nil, err
		}
		d.Slides = append(d.Slides, *s)
	}
	if len(d.Slides) > maxSlides {
		return nil, fmt.Errorf("the deck has more than %d slides", maxSlides)
	}
	return d, nil
}

// frontMatter returns what is between the first two lines "---", and the index of the line after it.
func frontMatter(lines []string) (text string, next int, err error) {
	if lines[0] != "---" {
		return "", 0, errors.New("line 1: a deck begins with front matter, a line \"---\"")
	}
	for i := 1; i < len(lines); i++ {
		if lines[i] == "---" {
			return strings.Join(lines[1:i], "\n"), i + 1, nil
		}
	}
	return "", 0, errors.New("line 1: the front matter has no end, a line \"---\"")
}

// part is the text of one slide.
type part struct {
	line  int // of the first line, from 1
	lines []string
}

// split returns the parts between lines "---" that are outside of fenced blocks.
func split(lines []string, start int) []part {
	parts, fence := []part{{line: start + 1}}, ""
	for i := start; i < len(lines); i++ {
		fence = fenceAfter(fence, lines[i])
		if fence == "" && lines[i] == "---" {
			parts = append(parts, part{line: i + 2})
			continue
		}
		p := &parts[len(parts)-1]
		p.lines = append(p.lines, lines[i])
	}
	return parts
}

// fenceAfter returns the fence of the block that is open after the line, or "".
func fenceAfter(fence, line string) string {
	line = strings.TrimSpace(line)
	switch {
	case fence == "" && strings.HasPrefix(line, "```"):
		return "```"
	case fence != "" && line == fence:
		return ""
	}
	return fence
}

// parseSlide parses one slide: title, lab and notes are taken out of its text, what is left is Markdown.
func parseSlide(p part) (*Slide, error) {
	s := &Slide{Line: p.line}
	var body, notes []string
	fence, in := "", "" // in: notes that end at a comment's end, or at the slide's
	for i, line := range p.lines {
		if in == "" {
			fence = fenceAfter(fence, line)
		}
		m := labLine.FindStringSubmatch(line)
		switch {
		case in == "comment" && strings.TrimSpace(line) == "-->":
			in = ""
		case in != "":
			notes = append(notes, line)
		case fence != "":
			body = append(body, line)
		case line == "<!-- notes":
			in = "comment"
		case line == "Notes:":
			in = "slide"
		case m != nil && s.Lab != "":
			return nil, fmt.Errorf("line %d: the slide names two labs", p.line+i)
		case m != nil:
			s.Lab = m[1]
		case strings.HasPrefix(line, "lab:"):
			return nil, fmt.Errorf("line %d: %q is not lab: TRACK/NAME or lab: TRACK/NAME/STEP", p.line+i, line)
		case strings.HasPrefix(line, "# ") && s.Title == "":
			s.Title, s.Line = strings.TrimSpace(line[2:]), p.line+i
		default:
			body = append(body, line)
		}
	}
	switch {
	case in == "comment":
		return nil, fmt.Errorf("line %d: the notes of the slide have no end, a line \"-->\"", s.Line)
	case fence != "":
		return nil, fmt.Errorf("line %d: a block of the slide is not closed", s.Line)
	case s.Title == "":
		return nil, fmt.Errorf("line %d: the slide has no title", s.Line)
	}
	return s, s.render(strings.Join(body, "\n"), strings.TrimSpace(strings.Join(notes, "\n")))
}

// render parses body and notes.
func (s *Slide) render(body, notes string) (err error) {
	if s.Blocks, err = blocks(body); err != nil {
		return fmt.Errorf("line %d: the slide %q: %w", s.Line, s.Title, err)
	}
	if s.Notes, err = prose(notes); err != nil {
		return fmt.Errorf("line %d: the notes of %q: %w", s.Line, s.Title, err)
	}
	s.notes = notes
	if m := minutes.FindStringSubmatch(notes); m != nil {
		s.Minutes, _ = strconv.Atoi(m[1])
	}
	return nil
}
