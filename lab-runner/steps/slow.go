package steps

import (
	"math"
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

// requests finds the command lines of curl and ping, and bounds what of their options is a time in seconds or a number of
// attempts. A "&" ends the first also in quotes: options come first.
var (
	requests = regexp.MustCompile(`\b(?:curl|ping) [^|;&]*`)
	bounds   = regexp.MustCompile(` (-m|--max-time|--connect-timeout|-W|--retry) ([0-9]+)\b`)
)

// attempts finds a loop that ends with its first success.
var attempts = regexp.MustCompile(`(for \w+ in \$\(seq )([0-9]+)(\); do [^\n]*&& break\b)`)

// Command returns the command line with its own bounds as they are on this machine: timeouts, curl's and ping's, and the
// numbers of attempts. On one of usual speed it is unchanged.
func (s Slow) Command(line string) string {
	if s == 0 || s == 1 {
		return line
	}
	line = requests.ReplaceAllStringFunc(line, s.request)
	line = attempts.ReplaceAllStringFunc(line, func(found string) string {
		m := attempts.FindStringSubmatch(found)
		return m[1] + s.times(m[2]) + m[3]
	})
	return s.timeouts(line)
}

// request returns a command line of curl or ping.
func (s Slow) request(line string) string {
	return bounds.ReplaceAllStringFunc(line, func(found string) string {
		m := bounds.FindStringSubmatch(found)
		n := s.times(m[2])
		if m[1] == "--retry" && !strings.Contains(line, " --retry-delay ") { // curl doubles its wait each time
			usual, _ := strconv.Atoi(m[2])
			n = strconv.Itoa(usual + int(math.Ceil(math.Log2(float64(s)))))
		}
		return " " + m[1] + " " + n
	})
}

// times returns a number as many times larger as the machine is slower.
func (s Slow) times(number string) string {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return number
	}
	return strconv.FormatFloat(math.Ceil(n*float64(s)), 'f', -1, 64)
}

func (s Slow) timeouts(line string) string {
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
