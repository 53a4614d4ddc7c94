// Package kubectl is the real kubectl, from k8s.io/kubectl, plus the commands and flags
// of 2015 and 2016 that kubectl has since removed.
//
// Where kubectl has another spelling today, the old one is translated (modernize.go).
// Where it has none, the command is here: `run` with the flags that created controllers
// (run.go) and `rolling-update` (rolling.go). What today's kubectl supports is never
// changed, unless KUBECTL_YEAR selects an old version (year.go). Each old spelling prints
// today's on standard error, in one line. The caller executes what Command returns.
package kubectl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api/builtin"
)

// renamed maps removed verbs to today's.
var renamed = map[string]string{
	"stop":          "delete", // until 1.2; delete has the grace period today
	"resize":        "scale",
	"update":        "replace",
	"log":           "logs",
	"clusterinfo":   "cluster-info",
	"run-container": "run",
	"rollingupdate": "rolling-update",
}

// dropped maps the removed flags of each verb to today's: "" where today's kubectl behaves so
// by default. The verb "" means all.
var dropped = map[string]map[string]string{
	"":        {"--api-version": "", "--output-version": ""},
	"get":     {"-a": "", "--show-all": "", "--export": "", "-t": "--template"},
	"drain":   {"--delete-local-data": "--delete-emptydir-data"},
	"expose":  {"--container-port": "--target-port", "--create-external-load-balancer": "--type=LoadBalancer", "--generator": ""},
	"version": {"--short": "", "-c": "--client"},
	"top":     {"--heapster-namespace": "", "--heapster-port": "", "--heapster-scheme": "", "--heapster-service": ""},
}

// droppedWithValue are those of dropped whose value may be the next argument.
var droppedWithValue = map[string]bool{
	"--api-version": true, "--output-version": true, "--generator": true,
	"--heapster-namespace": true, "--heapster-port": true, "--heapster-scheme": true, "--heapster-service": true,
}

// Modernize translates an old command line (without the program's name) to one that today's
// kubectl, or a command of this package, supports. The notes, one line each, name today's
// spelling; there are none if nothing was changed.
func Modernize(args []string, year kubectlYear) (today, notes []string) {
	verb := verbAt(args)
	if verb < 0 {
		return args, nil
	}
	today = slices.Clone(args)
	var old []string // what was changed, in its old spelling
	if name, ok := renamed[today[verb]]; ok {
		old = append(old, today[verb])
		today[verb] = name
	}
	rest, flags := replaceFlags(today[verb], today[verb+1:])
	if len(flags) > 0 {
		old = append(append(old, args[verb]), flags...)
	}
	today = append(today[:verb+1], rest...)
	if today[verb] == "exec" {
		if rest, ok := separate(rest); ok {
			old = append(old, "exec POD COMMAND")
			today = append(today[:verb+1], rest...)
		}
	}
	if len(old) > 0 {
		notes = []string{note("kubectl "+strings.Join(slices.Compact(old), " "), today[verb:])}
	}
	return year.behaviour(today, verb), notes
}

// replaceFlags replaces the removed flags of verb by today's, and returns those that it
// replaced. Arguments after "--" are not changed.
func replaceFlags(verb string, args []string) (today, old []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(today, args[i:]...), old
		}
		name, value, hasValue := strings.Cut(a, "=")
		next, ok := dropped[verb][name]
		if !ok && verb != "explain" { // which still has --api-version
			next, ok = dropped[""][name]
		}
		if !ok || name == "-t" && i+1 == len(args) && !hasValue {
			today = append(today, a)
			continue
		}
		old = append(old, name)
		if droppedWithValue[name] && !hasValue && i+1 < len(args) {
			i++
		}
		switch {
		case next == "":
		case hasValue && !strings.Contains(next, "="):
			today = append(today, next+"="+value)
		default:
			today = append(today, next)
		}
	}
	return today, old
}

// execFlagsWithValue take the next argument of `kubectl exec` as their value.
var execFlagsWithValue = map[string]bool{
	"-c": true, "--container": true, "-f": true, "--filename": true, "--pod-running-timeout": true,
}

// separate inserts the "--" that `exec POD COMMAND` needs today, and `exec -p POD COMMAND`
// likewise; it returns false if there is one already or no command.
func separate(args []string) ([]string, bool) {
	pod := -1
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return nil, false
		case a == "-p" && pod < 0 && i+1 < len(args):
			args = slices.Delete(slices.Clone(args), i, i+1)
			pod = i
		case execFlagsWithValue[a] || globalWithValue[a]:
			i++
		case strings.HasPrefix(a, "-"):
		case pod < 0:
			pod = i
		default:
			return slices.Insert(slices.Clone(args), i, "--"), true
		}
	}
	return nil, false
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

var unmapped = regexp.MustCompile(`no matches for kind "(\w+)" in version "([^"]+)"\nensure CRDs are installed first`)

// nameSuccessors replaces, in an error of kubectl, the advice about kinds of former releases by what there is today.
func nameSuccessors(message string) string {
	return unmapped.ReplaceAllStringFunc(message, func(found string) string {
		m := unmapped.FindStringSubmatch(found)
		gv, err := schema.ParseGroupVersion(m[2])
		if err != nil {
			return found
		}
		if now := builtin.Table().Successor(gv, m[1]); now != "" {
			return now
		}
		return found
	})
}
