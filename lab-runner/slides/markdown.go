package slides

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// markdown renders no raw HTML and no address with a scheme that runs code: goldmark's default.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table))

// imagePath is what a deck may refer to: a file beside it, or a shared drawing.
var imagePath = regexp.MustCompile(`^(\.\./drawings/)?[a-z0-9][a-z0-9-]*\.(svg|png)$`)

// blocks returns the blocks of a slide's body.
func blocks(body string) (out []Block, err error) {
	source := []byte(body)
	doc, err := parse(source)
	if err != nil {
		return nil, err
	}
	commands, lives := 0, 0
	for n := doc.FirstChild(); n != nil; n = n.NextSibling() {
		b, err := block(n, source, &commands)
		if err != nil {
			return nil, err
		}
		if b.Kind == Map || b.Kind == Journey {
			lives++
		}
		last := len(out) - 1
		if b.Kind == Prose && last >= 0 && out[last].Kind == Prose {
			out[last].HTML += b.HTML
			continue
		}
		out = append(out, b)
	}
	if lives > 1 {
		return nil, errors.New("there is more than one map or journey")
	}
	return out, nil
}

// block returns the block of a top-level node.
func block(n ast.Node, source []byte, commands *int) (Block, error) {
	if img := onlyImage(n); img != nil {
		return Block{Kind: Drawing, Image: string(img.Destination), Alt: plain(img, source), Wide: string(img.Title) == "wide"}, nil
	}
	if fenced, ok := n.(*ast.FencedCodeBlock); ok {
		if b, err := special(fenced, source, commands); err != nil || b.Kind != "" {
			return b, err
		}
	}
	var html bytes.Buffer
	if err := markdown.Renderer().Render(&html, source, n); err != nil {
		return Block{}, err
	}
	return Block{Kind: Prose, HTML: template.HTML(html.String())}, nil //nolint:gosec // goldmark escapes, and raw HTML is refused
}

// special returns the block of a map, a journey or commands; one without a kind for other code.
func special(n *ast.FencedCodeBlock, source []byte, commands *int) (Block, error) {
	info := ""
	if n.Info != nil {
		info = strings.TrimSpace(string(n.Info.Segment.Value(source)))
	}
	word, rest, _ := strings.Cut(info, " ")
	switch word {
	case "map":
		return Block{Kind: Map}, nil
	case "journey":
		if !target.MatchString(rest) {
			return Block{}, fmt.Errorf("a journey is of KIND/NAME, not of %q", rest)
		}
		return Block{Kind: Journey, Target: rest}, nil
	}
	b, more := Block{}, false
	for i := range n.Lines().Len() {
		at := n.Lines().At(i)
		line := strings.TrimRight(string(at.Value(source)), "\n")
		switch {
		case strings.HasPrefix(line, "$ "):
			*commands++
			b.Kind, more = Commands, true
			b.Lines = append(b.Lines, Line{Text: line[2:], Command: *commands})
		case more && strings.HasPrefix(line, "> "):
			last := &b.Lines[len(b.Lines)-1]
			last.Text += "\n" + line[2:]
		default:
			more = false
			b.Lines = append(b.Lines, Line{Text: line})
		}
	}
	return b, nil
}

// onlyImage returns the image of a paragraph that has nothing else, or nil.
func onlyImage(n ast.Node) *ast.Image {
	if n.Kind() != ast.KindParagraph || n.ChildCount() != 1 {
		return nil
	}
	img, _ := n.FirstChild().(*ast.Image)
	return img
}

// plain returns the text below a node.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Segment.Value(source))
			if t.SoftLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// parse parses Markdown, and returns an error for raw HTML and for images from elsewhere.
func parse(source []byte) (ast.Node, error) {
	doc := markdown.Parser().Parse(text.NewReader(source))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.HTMLBlock, *ast.RawHTML:
			return ast.WalkStop, errors.New("raw HTML is not allowed")
		case *ast.Image:
			if !imagePath.Match(n.Destination) {
				return ast.WalkStop, fmt.Errorf("the image %q is neither beside the deck nor in ../drawings", n.Destination)
			}
		}
		return ast.WalkContinue, nil
	})
	return doc, err
}

// prose renders Markdown.
func prose(source string) (template.HTML, error) {
	doc, err := parse([]byte(source))
	if err != nil {
		return "", err
	}
	var html bytes.Buffer
	err = markdown.Renderer().Render(&html, []byte(source), doc)
	return template.HTML(html.String()), err //nolint:gosec // goldmark escapes, and raw HTML is refused
}
