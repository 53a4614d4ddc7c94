package steps

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"

	messages "github.com/cucumber/messages/go/v21"
)

// Step is a regular expression and the function that gets its groups.
type Step struct {
	Pattern string
	Func    any
}

// Table lists every step. Names in steps are in double quotes, commands in backquotes.
func Table(w *World) []Step {
	return []Step{
		{`^pod "([^"]+)" is running and ready$`, w.podReady},
		{`^pod "([^"]+)" has restarted (\d+) times?$`, w.podRestarted},
		{`^pod "([^"]+)" is (Pending|Running|Succeeded|Failed)$`, w.podPhase},
		{`^pod "([^"]+)" is gone$`, w.podGone},
		{`^pod "([^"]+)" is owned by ([A-Z][A-Za-z]+) "([^"]+)"$`, w.podOwned},
		{`^(\d+) pods? with label "([^"]+)" (?:is|are) running and ready$`, w.podsReady},
		{`^no pod with label "([^"]+)" is left$`, w.noPods},
		{`^the pods with label "([^"]+)" run on (\d+) nodes$`, w.podsSpread},
		{`^node "([^"]+)" is ready$`, w.nodeReady},
		{`^at least (\d+) nodes? (?:is|are) ready$`, w.nodesReady},
		{`^claim "([^"]+)" is bound to volume "([^"]+)"$`, w.claimBound},
		{`^service "([^"]+)" has as endpoints the (\d+) ready pods with label "([^"]+)"$`, w.endpointsMatch},
		{`^service "([^"]+)" has no endpoints$`, w.noEndpoints},
		{`^port (\d+) of pod "([^"]+)" answers "([^"]+)" with status (\d+)$`, w.podStatus},
		{`^port (\d+) of pod "([^"]+)" answers "([^"]+)" with "([^"]*)"$`, w.podText},
		{`^port (\d+) of service "([^"]+)" answers "([^"]+)" with "([^"]*)"$`, w.serviceText},
		{`^the node port of service "([^"]+)" answers "([^"]+)" on every node with "([^"]*)"$`, w.nodePortText},
		{`^all (\d+) pods with label "([^"]+)" answer "([^"]+)" through the node port of service "([^"]+)"$`, w.nodePortSpread},
		{`^the node port of service "([^"]+)" lies between (\d+) and (\d+)$`, w.nodePortRange},
		{`^port (\d+) of (pod|service) "([^"]+)" answers "([^"]+)" over TLS, trusting "([^"]+)" for "([^"]+)", with "([^"]*)"$`, w.secureText},
		{"^a steady client of service \"([^\"]+)\" loses no request for \"([^\"]+)\" while `([^`]+)` runs$", w.steady},
		{`^Docker has (an|no) image "([^"]+)"$`, w.dockerImage},
		{`^Docker runs (a|no) container of image "([^"]+)"$`, w.dockerContainer},
		{`^the InfluxDB of pod "([^"]+)" answers "([^"]+)" with (\d+)$`, w.influx},
		{"^`([^`]+)` prints \"([^\"]*)\"$", w.prints},
		{"^`([^`]+)` prints:$", w.printsAll},
		{"^`([^`]+)` prints a line like \"([^\"]+)\"$", w.printsLine},
		{"^`([^`]+)` prints the columns \"([^\"]+)\"$", w.printsColumns},
		{"^`([^`]+)` prints nothing$", w.printsNothing},
		{"^`([^`]+)` fails with \"([^\"]*)\"$", w.failsWith},
		{"^in pod \"([^\"]+)\" `([^`]+)` prints \"([^\"]*)\"$", w.podPrints},
		{"^`([^`]+)` succeeds$", w.succeeds},
		{`^the objects:$`, w.apply},
	}
}

// changes finds the sentences that change something: each is evaluated once.
var changes = regexp.MustCompile("^a steady client of |^`[^`]+` succeeds$|^the objects:$")

// Changes reports whether the step of that text changes something, so that it is not evaluated over and over.
func Changes(text string) bool { return changes.MatchString(text) }

// ErrUndefined is the error of a step that the table does not have.
var ErrUndefined = errors.New("the step is undefined")

// Defined reports whether the table has a step of that text.
func Defined(text string) bool {
	for _, s := range Table(&World{}) {
		if regexp.MustCompile(s.Pattern).MatchString(text) {
			return true
		}
	}
	return false
}

// Run runs the step of that text, with the block of text below it. A text that the table does
// not have is ErrUndefined: it would check nothing.
func (w *World) Run(ctx context.Context, text, doc string) error {
	for _, s := range Table(w) {
		groups := regexp.MustCompile(s.Pattern).FindStringSubmatch(text)
		if groups == nil {
			continue
		}
		return s.call(ctx, groups[1:], doc)
	}
	return ErrUndefined
}

// call calls the step's function: the context, then as many groups as it has parameters of
// text and numbers, and the block of text if it takes one.
func (s Step) call(ctx context.Context, groups []string, doc string) error {
	f := reflect.ValueOf(s.Func)
	in := []reflect.Value{reflect.ValueOf(ctx)}
	for i := 1; i < f.Type().NumIn(); i++ {
		switch kind := f.Type().In(i); kind {
		case reflect.TypeFor[*messages.PickleDocString]():
			if doc == "" {
				return errors.New("the step has no block of text below it")
			}
			in = append(in, reflect.ValueOf(&messages.PickleDocString{Content: doc}))
		case reflect.TypeFor[int]():
			n, err := strconv.Atoi(groups[i-1])
			if err != nil {
				return fmt.Errorf("%s: %w", groups[i-1], err)
			}
			in = append(in, reflect.ValueOf(n))
		default:
			in = append(in, reflect.ValueOf(groups[i-1]))
		}
	}
	err, _ := f.Call(in)[0].Interface().(error)
	return err
}
