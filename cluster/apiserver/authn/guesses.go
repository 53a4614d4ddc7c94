package authn

import (
	"sync"
	"time"
)

// A source may send guessBurst unknown bootstrap tokens at once, and one more each
// guessInterval. Valid tokens are refused too while it has used them up, or guessing would
// go on.
const (
	guessBurst    = 10
	guessInterval = 6 * time.Second
	// maxSources bounds the memory; sources beyond it share one account.
	maxSources = 4096
)

// guesses counts the unknown bootstrap tokens of each source, and the wrong secrets of tokens
// that have a limit of them.
type guesses struct {
	now func() time.Time

	mu sync.Mutex
	// paid is the time until which the guesses of a source count: each adds guessInterval to it.
	paid map[string]time.Time
	// wrong is by id and uid of a secret that exists or did; those that are gone are removed
	// when there are mostTokens.
	wrong      map[string]int
	mostTokens int
}

func newGuesses(now func() time.Time) *guesses {
	return &guesses{now: now, paid: map[string]time.Time{}, wrong: map[string]int{}, mostTokens: maxSources}
}

const otherSources = ""

// wait returns how long the source has to wait before its next token is checked.
func (g *guesses) wait(source string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	paid, ok := g.paid[source]
	if !ok {
		if len(g.paid) < maxSources {
			return 0
		}
		paid = g.paid[otherSources]
	}
	return paid.Sub(g.now()) - (guessBurst-1)*guessInterval
}

func (g *guesses) failed(source string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if _, ok := g.paid[source]; !ok && len(g.paid) >= maxSources {
		for s, paid := range g.paid {
			if paid.Before(now) {
				delete(g.paid, s)
			}
		}
		if len(g.paid) >= maxSources {
			source = otherSources
		}
	}
	paid := g.paid[source]
	if paid.Before(now) {
		paid = now
	}
	g.paid[source] = paid.Add(guessInterval)
}

// count returns how many wrong secrets were sent for a token, and counts one more if wrong. Each
// token that exists has a count of its own: their number is bounded by that of the secrets.
func (g *guesses) count(token string, wrong bool, exists func(token string) bool) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !wrong {
		return g.wrong[token]
	}
	if _, ok := g.wrong[token]; !ok && len(g.wrong) >= g.mostTokens {
		for t := range g.wrong {
			if !exists(t) {
				delete(g.wrong, t)
			}
		}
		g.mostTokens = max(maxSources, 2*len(g.wrong))
	}
	g.wrong[token]++
	return g.wrong[token]
}
