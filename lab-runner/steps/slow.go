package steps

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Slow is how many times slower than usual the machine is; zero is 1. Each wait is that many
// times longer, so that a slow machine fails for what is wrong, not for what takes long.
type Slow float64

// Wait returns the wait on this machine that is usual on others.
func (s Slow) Wait(usual time.Duration) time.Duration {
	if s == 0 {
		return usual
	}
	return time.Duration(float64(usual) * float64(s))
}

// timeouts finds what a command line itself gives up after: kubectl's --timeout=60s, and
// timeout(1) with its number of seconds.
var timeouts = regexp.MustCompile(`(--timeout=|\btimeout )([0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)?)\b`)

// Command returns the command line with its own timeouts as they are on this machine. On one of
// usual speed it is unchanged.
func (s Slow) Command(line string) string {
	if s == 0 || s == 1 {
		return line
	}
	return timeouts.ReplaceAllStringFunc(line, func(found string) string {
		m := timeouts.FindStringSubmatch(found)
		usual, err := time.ParseDuration(m[2])
		if err != nil { // a number alone is of seconds
			usual, err = time.ParseDuration(m[2] + "s")
		}
		if err != nil {
			return found
		}
		seconds := strconv.FormatFloat(s.Wait(usual).Seconds(), 'f', -1, 64)
		if strings.HasPrefix(m[1], "--") {
			seconds += "s"
		}
		return m[1] + seconds
	})
}
