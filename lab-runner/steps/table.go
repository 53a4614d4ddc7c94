package steps

import "github.com/cucumber/godog"

// Step is a regular expression and the function that gets its groups.
type Step struct {
	Pattern string
	Func    any
}

// table lists every step. Names in steps are in double quotes, commands in backquotes.
func table(w *World) []Step {
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

// Register registers all steps with a scenario, for w.
func Register(sc *godog.ScenarioContext, w *World) {
	for _, s := range table(w) {
		sc.Step(s.Pattern, s.Func)
	}
}
