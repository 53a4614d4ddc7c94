// Package kubectl is the real kubectl, from k8s.io/kubectl, plus what tutorials of
// 2015 and 2016 type and kubectl has since dropped. It owns the translation of old
// command lines to today's and never talks to a cluster itself: every translated
// command is one that kubectl itself runs.
package kubectl

import (
	"fmt"
	"strings"
)

// Modernize turns a command line of old (without the program's name) into one that
// today's kubectl understands. The notes, one line each, tell the person what one
// writes today; there are none if nothing was changed.
func Modernize(args []string) (today, notes []string) {
	verb := verbAt(args)
	if verb < 0 {
		return args, nil
	}
	switch args[verb] {
	case "stop":
		return stop(args, verb)
	case "get":
		return template(args, verb)
	}
	return args, nil
}

// stop was delete with the grace that delete itself has today (kubectl 1.2 and before).
func stop(args []string, verb int) (today, notes []string) {
	today = append([]string{}, args...)
	today[verb] = "delete"
	return today, []string{note("kubectl stop", today[verb:])}
}

// template handles `get -o template -t TEXT`: -t was short for --template until
// kubectl 1.3. Only what follows get is looked at, and nothing behind "--".
func template(args []string, verb int) (today, notes []string) {
	today = append([]string{}, args...)
	for i := verb + 1; i < len(today) && today[i] != "--"; i++ {
		switch {
		case today[i] == "-t" && i+1 < len(today):
			today[i] = "--template"
		case strings.HasPrefix(today[i], "-t="):
			today[i] = "--template=" + strings.TrimPrefix(today[i], "-t=")
		default:
			continue
		}
		return today, []string{note("kubectl get -t", today[verb:])}
	}
	return args, nil
}

func note(old string, today []string) string {
	quoted := make([]string, len(today))
	for i, a := range today {
		quoted[i] = quote(a)
	}
	return fmt.Sprintf("%q is no longer part of kubectl; today one writes: kubectl %s", old, strings.Join(quoted, " "))
}

func quote(arg string) string {
	if strings.ContainsAny(arg, " \t\n'\"{}$*?&|;<>()") {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}

// globalWithValue are the flags that may stand before the verb and take a value of
// their own as the next argument.
var globalWithValue = map[string]bool{
	"-n": true, "--namespace": true, "-s": true, "--server": true, "--kubeconfig": true, "--context": true,
	"--cluster": true, "--user": true, "--as": true, "--as-group": true, "--token": true, "--request-timeout": true,
	"-v": true, "--v": true, "--cache-dir": true, "--certificate-authority": true, "--client-certificate": true,
	"--client-key": true, "--tls-server-name": true, "--password": true, "--username": true,
}

// verbAt finds the first argument that is neither a flag nor a flag's value, -1 if
// there is none.
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
