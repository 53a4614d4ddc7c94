package cluster_test

import (
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// banned lists the turns that no comment, string, document or scenario has, each with the words to use
// instead (CONTRIBUTING.md has the rule). A space is any white space, a line break included.
var banned = []struct{ turns, use string }{
	{"tells whether|tell whether|told whether", "reports whether"},
	{"anew", "recreated, again"},
	{"for ever", "indefinitely"},
	{"folder|folders", "directory"},
	{"closed to pods", "cordoned"},
	{"hears of|hear of|heard of|hearing of|hears about|hear about", "observes, receives"},
	{"is told|are told|was told|were told|be told|been told|get told|gets told", "is notified, receives"},
	{"tells it|tells them|tells the|tells its|tells a|tells an|tells each|tells every|tells what|tells how|tells why|tells that|tells which|tells from", "reports, shows, notifies, distinguishes"},
	{"tell it|tell them|tell the|tell its|tell a|tell what|tell how|tell why|tell which|telling the|telling each|told that|told the|told what|told how|told why", "reports, shows, notifies, distinguishes"},
	{"knows|knew|does not know|did not know", "has, holds, supports, caches"},
	{"learns|learnt|forgets|forgotten|believes|believed|obeys|obeyed|wishes|wants to", "observes, removes, assumes, applies, must"},
	{"less important pod|less important pods|make room|makes room|made room|making room", "lower-priority pods; preempt, evict, reclaim"},
	{"who leads|what is wanted so", "leader election; reconcile the desired and the actual state"},
	{"conditions of distress|short of something", "pressure conditions, eviction threshold met"},
	{"roll-out|roll-outs|roll-back|roll-backs|back-off|back-offs|time-out|time-outs|clean-up|clean-ups|look-up|look-ups", "one word: rollout, rollback, backoff, timeout, cleanup, lookup"},
	{"by itself", "automatically, on its own"},
	{"of then", "of 2015, of that version"},
	{"part of an object|parts of an object", "subresource, field"},
	{"poke|pokes|poked|hurry|hurries|hurried", "notify, notifyNow"},
	{"farewell|farewells", "termination delay"},
	{"furnish|furnishes|furnished|allotment|allotments|misfit|misfits", "populate; allocation; admission failure"},
	{"lets in|let in|letting in", "admits"},
}

// upstreamTexts are banned turns in texts that clients of Kubernetes read.
var upstreamTexts = []string{"Back-off restarting", "Back-off pulling", "back-off %s restarting", "back-off 10s restarting", `"back-off 20s"`, `"time-out"`}

// fine is close to what is banned and is no banned turn.
const fine = `reports whether the node is cordoned, the operator must know the address, a table of kinds, an unknown field, well-known labels,
the renewed lease, manifold, known addresses, let in-flight requests finish, tell, told, learn, a learner wants a backoff`

// turns maps the first word of each banned turn to the turns that begin with it.
func turns() map[string][]turn {
	m := map[string][]turn{}
	for _, b := range banned {
		for _, t := range strings.Split(b.turns, "|") {
			words := strings.Fields(t)
			m[words[0]] = append(m[words[0]], turn{words, b.use})
		}
	}
	return m
}

type turn struct {
	words []string
	use   string
}

var word = regexp.MustCompile(`[A-Za-z0-9_'-]+|[^\sA-Za-z0-9_'-]`)

// complaints returns a line for each banned turn of text.
func complaints(text string, m map[string][]turn) (found []string) {
	at := word.FindAllStringIndex(text, -1)
	for i, w := range at {
		for _, t := range m[strings.ToLower(text[w[0]:w[1]])] {
			j := 0
			for j < len(t.words) && i+j < len(at) && strings.EqualFold(text[at[i+j][0]:at[i+j][1]], t.words[j]) {
				j++
			}
			if j == len(t.words) {
				found = append(found, fmt.Sprintf("%d: %q: use %s", 1+strings.Count(text[:w[0]], "\n"), strings.Join(t.words, " "), t.use))
			}
		}
	}
	return found
}

func TestBannedTurnsAreFound(t *testing.T) {
	m := turns()
	for _, b := range banned {
		for _, turn := range strings.Split(b.turns, "|") {
			for _, text := range []string{
				strings.ReplaceAll(turn, " ", "\n  "),
				goProse([]byte("package a\n// It\n// " + strings.ReplaceAll(turn, " ", "\n// ") + ".\n")),
				goProse([]byte("package a\nconst b = `" + turn + "`\n")),
				goProse([]byte("package a\nvar c = \"" + turn + "\"\n")),
			} {
				if len(complaints(text, m)) != 1 {
					t.Errorf("%q: %q", text, complaints(text, m))
				}
			}
		}
		if found := complaints(b.use, m); len(found) > 0 {
			t.Errorf("what to use is banned: %q", found)
		}
	}
	if found := complaints(fine, m); len(found) > 0 {
		t.Errorf("false alarms: %q", found)
	}
	if text := goProse([]byte("package a\nvar folder = 1 // fine\n")); strings.Contains(text, "folder") || !strings.Contains(text, "fine") {
		t.Errorf("the prose of a Go file is %q", text)
	}
}

var wordsOf = flag.String("words", "..", "the directory whose words TestWords checks, relative to cluster/")

// TestWords fails on each banned turn of the tree.
func TestWords(t *testing.T) {
	m, files := turns(), 0
	err := filepath.WalkDir(*wordsOf, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "out"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || !slices.Contains([]string{".go", ".md", ".feature", ".yaml", ".sh"}, filepath.Ext(path)) || d.Name() == "words_test.go":
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		text := string(data)
		if filepath.Ext(path) == ".go" {
			text = goProse(data)
		}
		for _, t := range upstreamTexts {
			text = strings.ReplaceAll(text, t, strings.Repeat("-", len(t)))
		}
		for _, c := range complaints(text, m) {
			t.Errorf("%s:%s", strings.TrimPrefix(path, "../"), c)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files were read: %v", files, err)
	}
}

// goProse returns src with everything but comments and strings blanked, so that offsets and lines stay.
func goProse(src []byte) string {
	text := make([]byte, len(src))
	for i, c := range src {
		text[i] = '.'
		if c == '\n' || c == '\t' || c == ' ' {
			text[i] = c
		}
	}
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, scanner.ScanComments)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return string(text)
		}
		if tok != token.COMMENT && tok != token.STRING {
			continue
		}
		at := file.Offset(pos)
		copy(text[at:], lit)
		if strings.HasPrefix(lit, "//") {
			text[at], text[at+1] = ' ', ' '
		}
	}
}
