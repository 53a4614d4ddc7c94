package kubectl

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// yearVariable selects the behaviour and output of the kubectl of a year, where they differ
// from today's, for users who follow a text of that year to the letter:
//
//   - `run` creates a ReplicationController (2015) or a Deployment (2016), not a pod,
//   - `delete` of a controller returns when its pods are gone,
//   - output reads `pod "nginx" created`, and in 2015 `scaled` alone after scale.
const yearVariable = "KUBECTL_YEAR"

// kubectlYear is a year, 0 for today.
type kubectlYear int

const (
	today     kubectlYear = 0
	year2015  kubectlYear = 2015 // kubectl 1.0 and 1.1
	year2016  kubectlYear = 2016 // kubectl 1.2 to 1.5
	firstYear             = year2015
	lastYear              = year2016
)

func parseYear(value string) (kubectlYear, error) {
	if value == "" {
		return today, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || kubectlYear(n) < firstYear || kubectlYear(n) > lastYear {
		return today, fmt.Errorf("%s is %q: it can be %d or %d; unset it for today's kubectl", yearVariable, value, firstYear, lastYear)
	}
	return kubectlYear(n), nil
}

// behaviour adds the flags with which a verb behaves as in that year. Until 1.10 the client
// deleted a controller's pods: it scaled to zero, waited for the pods and then deleted the
// controller.
func (y kubectlYear) behaviour(args []string, verb int) []string {
	if y == today || args[verb] != "delete" || slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--cascade") }) {
		return args
	}
	return slices.Insert(slices.Clone(args), verb+1, "--cascade=foreground")
}

// answering are the verbs whose output is rewritten; that of other verbs is data.
var answering = []string{"annotate", "apply", "create", "delete", "expose", "label", "replace", "run", "scale", "rolling-update"}

// answers returns the writer for the output of a command line.
func (y kubectlYear) answers(args []string, out io.Writer) io.Writer {
	verb := verbAt(args)
	if y == today || verb < 0 || !slices.Contains(answering, args[verb]) {
		return out
	}
	return &answers{year: y, out: out}
}

// answers is a writer that rewrites each line about an object and copies all others.
type answers struct {
	year kubectlYear
	out  io.Writer
	line []byte
}

var (
	answerLine  = regexp.MustCompile(`^([a-z]+)(?:\.[a-z0-9.-]+)?/(\S+) ([a-z ]+)$`) // deployment.apps/nginx created
	deletedLine = regexp.MustCompile(`^([a-z]+)(?:\.[a-z0-9.-]+)? "(\S+)" (?:force )?deleted(?: from .* namespace)?$`)
)

func (a *answers) Write(p []byte) (int, error) {
	a.line = append(a.line, p...)
	for {
		end := bytes.IndexByte(a.line, '\n')
		if end < 0 {
			return len(p), nil
		}
		if _, err := fmt.Fprintln(a.out, a.year.answer(string(a.line[:end]))); err != nil {
			return 0, err
		}
		a.line = a.line[end+1:]
	}
}

// answer returns the output of that year's kubectl for a line of today's.
func (y kubectlYear) answer(line string) string {
	if m := deletedLine.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("%s %q deleted", m[1], m[2])
	}
	m := answerLine.FindStringSubmatch(line)
	switch {
	case m == nil:
		return line
	case y == year2015 && m[3] == "scaled":
		return "scaled"
	}
	return fmt.Sprintf("%s %q %s", m[1], m[2], m[3])
}

// verbAt returns the index of the first argument that is neither a flag nor a flag's value,
// or -1.
func verbAt(args []string) int {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case globalWithValue[a]:
			i++
		case !strings.HasPrefix(a, "-"):
			return i
		}
	}
	return -1
}

// globalWithValue are the flags that may precede the verb and have a value as the next
// argument.
var globalWithValue = map[string]bool{
	"-n": true, "--namespace": true, "-s": true, "--server": true, "--kubeconfig": true, "--context": true,
	"--cluster": true, "--user": true, "--as": true, "--as-group": true, "--token": true, "--request-timeout": true,
	"-v": true, "--v": true, "--cache-dir": true, "--certificate-authority": true, "--client-certificate": true,
	"--client-key": true, "--tls-server-name": true, "--password": true, "--username": true,
}
