package builtin

import (
	"strings"
	"testing"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/autoscaling"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/networking"
)

func TestInvalidAutoscalers(t *testing.T) {
	const at = "spec.metrics[0]."
	metric := func(m string) string { return `{spec: {metrics: [` + m + `]}}` }
	const supported = `supported values: "ContainerResource", "External", "Object", "Pods", "Resource"`
	unknown := at + `type: Unsupported value: "Guess": ` + supported
	up := func(r string) string { return `{spec: {behavior: {scaleUp: ` + r + `}}}` }
	const atUp = "spec.behavior.scaleUp."
	runInvalid(t, autoscaling.HorizontalPodAutoscalers, []invalidCase{
		{"valid", `{}`, ""},
		{"fewest", `{spec: {minReplicas: 0}}`, "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1\nspec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"},
		{"most", `{spec: {maxReplicas: 0}}`, "spec.maxReplicas: Required value: must be set and greater than 0" + "\n" + "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`"},
		{"most below fewest", `{spec: {minReplicas: 3, maxReplicas: 2}}`, "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"},
		{"no target", `{spec: {scaleTargetRef: {name: null, kind: null}}}`, "spec.scaleTargetRef.kind: Required value\nspec.scaleTargetRef.name: Required value"},
		{"target's kind", `{spec: {scaleTargetRef: {kind: a/b}}}`, `spec.scaleTargetRef.kind: Invalid value: "a/b": may not contain '/'`},
		{"target's name", `{spec: {scaleTargetRef: {name: ".."}}}`, `spec.scaleTargetRef.name: Invalid value: "..": may not be '..'`},
		{"target's version", `{spec: {scaleTargetRef: {apiVersion: a/b/c}}}`, `spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c`},
		{"metric of no type", metric(`{resource: {name: cpu, target: {type: Utilization, averageUtilization: 1}}}`), at + "type: Required value: must specify a metric source type\n" +
			at + `type: Unsupported value: "": ` + supported + "\n" + at + `type: Unsupported value: "": ` + supported},
		{"metric of another type", metric(`{type: Guess}`), unknown + "\n" + unknown},
		{"metric without its source", metric(`{type: Resource}`), at + "resource: Required value: must populate information for the given metric source"},
		{
			"two sources", metric(`{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 1}}, pods: {metric: {name: a}, target: {type: AverageValue, averageValue: 1}}}`),
			at + "pods: Forbidden: must populate the given metric source only",
		},
		{
			"resource without a name", metric(`{type: Resource, resource: {target: {type: Utilization, averageUtilization: 1}}}`),
			at + "resource.name: Required value: must specify a resource name",
		},
		{"no target type", metric(`{type: Resource, resource: {name: cpu, target: {averageUtilization: 1}}}`), at + "resource.target.type: Required value: must specify a metric target type\n" +
			at + `resource.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue`},
		{"no target value", metric(`{type: Resource, resource: {name: cpu, target: {type: Utilization}}}`), at + "resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization"},
		{
			"two target values", metric(`{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 1, averageValue: 1}}}`),
			at + "resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
		},
		{"no use", metric(`{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 0}}}`), at + "resource.target.averageUtilization: Invalid value: 0: must be greater than 0"},
		{"negative", metric(`{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: -1}}}`), at + `resource.target.averageValue: Invalid value: "-1": must be positive`},
		{"container", metric(`{type: ContainerResource, containerResource: {name: cpu, target: {type: Utilization, averageUtilization: 1}}}`), at + "containerResource.container: Required value: must specify a container"},
		{"pods without a name", metric(`{type: Pods, pods: {metric: {}, target: {type: AverageValue, averageValue: 1}}}`), at + "pods.metric.name: Required value: must specify a metric name"},
		{"pods without a value", metric(`{type: Pods, pods: {metric: {name: a}, target: {type: Value, value: 1}}}`), at + "pods.target.averageValue: Required value: must specify a positive target averageValue"},
		{"object", metric(`{type: Object, object: {describedObject: {kind: Service}, metric: {name: a/b}, target: {type: Value}}}`), at + "object.describedObject.name: Required value\n" +
			at + `object.metric.name: Invalid value: "a/b": may not contain '/'` + "\n" + at + "object.target.averageValue: Required value: must set either a target value or averageValue"},
		{"external", metric(`{type: External, external: {metric: {name: a}, target: {type: Value}}}`), at + "external.target.averageValue: Required value: must set either a target value for metric or a per-pod target"},
		{"external twice", metric(`{type: External, external: {metric: {name: a}, target: {type: Value, value: 1, averageValue: 1}}}`), at + "external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"},

		{"window", up(`{stabilizationWindowSeconds: -1}`), atUp + "stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero"},
		{"long window", up(`{stabilizationWindowSeconds: 3601}`), atUp + "stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600"},
		{"choice", up(`{selectPolicy: Any}`), atUp + `selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", "Min"`},
		{"no policies", up(`{policies: []}`), atUp + "policies: Required value: must specify at least one Policy"},
		{"policy", up(`{policies: [{type: Nodes, value: 1, periodSeconds: 1}]}`), atUp + `policies[0].type: Unsupported value: "Nodes": supported values: "Percent", "Pods"`},
		{"policy's numbers", up(`{policies: [{type: Pods}]}`), atUp + "policies[0].value: Invalid value: 0: must be greater than zero\n" + atUp + "policies[0].periodSeconds: Invalid value: 0: must be greater than zero"},
		{"long period", up(`{policies: [{type: Pods, value: 1, periodSeconds: 1801}]}`), atUp + "policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800"},
		{"tolerance", up(`{tolerance: -1}`), atUp + `tolerance: Invalid value: "-1": ` + notLess},
		{"down", `{spec: {behavior: {scaleDown: {selectPolicy: Any}}}}`, `spec.behavior.scaleDown.selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", "Min"`},
	})
}

func TestInvalidIngresses(t *testing.T) {
	const at = "spec.rules[0].http.paths[0]."
	path := func(p string) string { return `{spec: {rules: [{http: {paths: [` + p + `]}}]}}` }
	backend := func(b string) string { return `{spec: {defaultBackend: ` + b + `}}` }
	const wildcard = `a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain...`
	runInvalid(t, networking.Ingresses, []invalidCase{
		{"valid", `{}`, ""},
		{"nothing", `{spec: {rules: null}}`, "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"},
		{"backend alone", `{spec: {rules: null, defaultBackend: ` + testBackend + `}}`, ""},
		{"address as host", `{spec: {rules: [{host: 10.0.0.1}]}}`, `spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address`},
		{"host", `{spec: {rules: [{host: a_b}]}}`, `spec.rules[0].host: Invalid value: "a_b": a lowercase RFC 1123 subdomain...`},
		{"wildcard", `{spec: {rules: [{host: "*.example.com"}]}}`, ""},
		{"wildcard inside", `{spec: {rules: [{host: "a.*.b"}]}}`, `spec.rules[0].host: Invalid value: "a.*.b": ` + wildcard},
		{"no paths", `{spec: {rules: [{http: {paths: []}}]}}`, "spec.rules[0].http.paths: Required value"},
		{"no path type", path(`{path: /, backend: ` + testBackend + `}`), at + "pathType: Required value: pathType must be specified"},
		{"path type", path(`{path: /, pathType: Regex, backend: ` + testBackend + `}`), at + `pathType: Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"`},
		{"relative", path(`{path: x, pathType: Exact, backend: ` + testBackend + `}`), at + `path: Invalid value: "x": must be an absolute path`},
		{"relative, implementation-specific", path(`{path: x, pathType: ImplementationSpecific, backend: ` + testBackend + `}`), at + `path: Invalid value: "x": must be an absolute path`},
		{"no path, implementation-specific", path(`{pathType: ImplementationSpecific, backend: ` + testBackend + `}`), ""},
		{"two slashes", path(`{path: //x, pathType: Prefix, backend: ` + testBackend + `}`), at + `path: Invalid value: "//x": must not contain '//'`},
		{"up", path(`{path: /x/.., pathType: Prefix, backend: ` + testBackend + `}`), at + `path: Invalid value: "/x/..": cannot end with '/..'`},
		{"hidden slash", path(`{path: /a%2fb, pathType: Prefix, backend: ` + testBackend + `}`), at + `path: Invalid value: "/a%2fb": must not contain '%2f'`},
		{"no backend", path(`{path: /, pathType: Prefix, backend: {}}`), at + `backend: Invalid value: "": resource or service backend is required`},
		{"two backends", backend(`{resource: {kind: k, name: n}, service: {name: s, port: {number: 80}}}`), `spec.defaultBackend: Invalid value: "": cannot set both resource and service backends`},
		{"no service", backend(`{service: {port: {number: 80}}}`), "spec.defaultBackend.service.name: Required value"},
		{"digit", backend(`{service: {name: 1a, port: {number: 80}}}`), ""},
		{"service", backend(`{service: {name: a.b, port: {number: 80}}}`), `spec.defaultBackend.service.name: Invalid value: "a.b": must not contain dots`},
		{"no port", backend(`{service: {name: s}}`), "spec.defaultBackend: Required value: port name or number is required"},
		{"two ports", backend(`{service: {name: s, port: {number: 80, name: http}}}`), `spec.defaultBackend: Invalid value: "": cannot set both port name & port number`},
		{"port", backend(`{service: {name: s, port: {number: 70000}}}`), "spec.defaultBackend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive"},
		{"port's name", backend(`{service: {name: s, port: {name: much-too-long-a-name}}}`), `spec.defaultBackend.service.port.name: Invalid value: "much-too-long-a-name": must be no more than 15 characters`},
		{"resource", backend(`{resource: {apiGroup: A, kind: a/b}}`), `spec.defaultBackend.resource.apiGroup: Invalid value: "A": a lowercase RFC 1123 subdomain...` + "\n" +
			`spec.defaultBackend.resource.kind: Invalid value: "a/b": may not contain '/'` + "\nspec.defaultBackend.resource.name: Required value"},
		{"tls host", `{spec: {tls: [{hosts: [a_b]}]}}`, `spec.tls[0].hosts[0]: Invalid value: "a_b": a lowercase RFC 1123 subdomain...`},
		{"tls wildcard", `{spec: {tls: [{hosts: ["*"]}]}}`, `spec.tls[0].hosts[0]: Invalid value: "*": ` + wildcard},
		{"tls secret", `{spec: {tls: [{secretName: A}]}}`, `spec.tls[0].secretName: Invalid value: "A": a lowercase RFC 1123 subdomain...`},
		{"class", `{spec: {ingressClassName: A}}`, `spec.ingressClassName: Invalid value: "A": a lowercase RFC 1123 subdomain...`},
		{"class twice", `{metadata: {annotations: {kubernetes.io/ingress.class: a}}, spec: {ingressClassName: a}}`, `annotations.kubernetes.io/ingress.class: Invalid value: "a": can not be set when the class field is also set`},
	})
}

func TestInvalidIngressClasses(t *testing.T) {
	parameters := func(p string) string { return `{spec: {parameters: ` + p + `}}` }
	runInvalid(t, networking.IngressClasses, []invalidCase{
		{"valid", parameters(`{kind: k, name: n}`), ""},
		{"no controller", `{spec: {controller: null}}`, "spec.controller: Required value"},
		{"controller", `{spec: {controller: nginx}}`, `spec.controller: Invalid value: "nginx": must be a domain-prefixed path...`},
		{"long controller", `{spec: {controller: a.b/` + strings.Repeat("c", 250) + `}}`, "spec.controller: Too long: may not be more than 250 bytes"},
		{"no kind", parameters(`{name: n}`), "spec.parameters.kind: Required value"},
		{"no name", parameters(`{kind: k}`), "spec.parameters.name: Required value"},
		{"scope", parameters(`{kind: k, name: n, scope: World}`), `spec.parameters.scope: Unsupported value: "World": supported values: "Cluster", "Namespace"`},
		{"no namespace", parameters(`{kind: k, name: n, scope: Namespace}`), "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"},
		{"namespace", parameters(`{kind: k, name: n, scope: Namespace, namespace: A}`), `spec.parameters.namespace: Invalid value: "A": a lowercase RFC 1123 label...`},
		{"namespace of the cluster", parameters(`{kind: k, name: n, namespace: a}`), "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"},
	})
}

// peer returns changes of a NetworkPolicy with peers that pods send to.
func peer(peers string) string { return `{spec: {egress: [{to: [` + peers + `]}]}}` }

func TestInvalidNetworkPolicies(t *testing.T) {
	port := func(p string) string { return `{spec: {ingress: [{}, {ports: [` + p + `]}]}}` }
	const atPort, atPeer = "spec.ingress[1].ports[0]", "spec.egress[0].to[0]"
	runInvalid(t, networking.NetworkPolicies, []invalidCase{
		{"valid", `{}`, ""},
		{"all", `{spec: {podSelector: {matchLabels: {a: b}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}, namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: http}, {port: 1, endPort: 2, protocol: SCTP}]}], egress: [{}]}}`, ""},
		{"name", `{metadata: {name: a_b}}`, `metadata.name: Invalid value: "a_b": a lowercase RFC 1123 subdomain...`},
		{"selector", `{spec: {podSelector: {matchLabels: {a: b c}}}}`, `spec.podSelector.matchLabels: Invalid value: "b c": a valid label must be...`},
		{"types", `{spec: {policyTypes: [Ingress, Sideways]}}`, `spec.policyTypes[1]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"`},
		{"three types", `{spec: {policyTypes: [Ingress, Egress, Ingress]}}`, `spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two policyTypes`},
		{"protocol", port(`{protocol: ICMP}`), atPort + `.protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"`},
		{"port", port(`{port: 70000}`), atPort + ".port: Invalid value: 70000: must be between 1 and 65535, inclusive"},
		{"port's name", port(`{port: a_b}`), atPort + `.port: Invalid value: "a_b": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`},
		{"end alone", port(`{endPort: 2}`), atPort + ".endPort: Invalid value: 2: may not be specified when `port` is not specified"},
		{"end of a name", port(`{port: http, endPort: 2}`), atPort + ".endPort: Invalid value: 2: may not be specified when `port` is non-numeric"},
		{"end before", port(`{port: 3, endPort: 2}`), atPort + ".endPort: Invalid value: 3: must be greater than or equal to `port`"},
		{"end", port(`{port: 3, endPort: 70000}`), atPort + ".endPort: Invalid value: 70000: must be between 1 and 65535, inclusive"},
		{"no peer", peer(`{}`), atPeer + ": Required value: must specify a peer"},
		{"two peers", peer(`{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}`), atPeer + ": Forbidden: may not specify both ipBlock and another peer"},
		{"no range", peer(`{ipBlock: {cidr: ""}}`), atPeer + ".ipBlock.cidr: Required value"},
		{"no CIDR", peer(`{ipBlock: {cidr: here, except: [10.0.0.0/8]}}`), atPeer + `.ipBlock.cidr: Invalid value: "here": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)`},
		{"address within the range", peer(`{ipBlock: {cidr: 10.0.0.1/8}}`), atPeer + `.ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length`},
		{"exception", peer(`{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}`), atPeer + `.ipBlock.except[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)`},
		{"exception outside", peer(`{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 11.0.0.0/16]}}`), atPeer + ".ipBlock.except[1]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"},
		{"exception of all", peer(`{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}`), atPeer + ".ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`"},
		{"selector of a peer", peer(`{podSelector: {matchExpressions: [{key: a, operator: In}]}}`), atPeer + `.podSelector.matchExpressions[0].values: Required value: must be specified when ` + "`operator` is 'In' or 'NotIn'"},
		{"selector of a namespace", peer(`{namespaceSelector: {matchExpressions: [{key: a, operator: x}]}}`), atPeer + `.namespaceSelector.matchExpressions[0].operator: Invalid value: "x": not a valid selector operator`},
	})
}

// A range that a policy was stored with, before today's rules, may stay in an update; a new one may not.
func TestNetworkPoliciesKeepTheirRanges(t *testing.T) {
	k := networking.NetworkPolicies
	old := read(t, k, peer(`{ipBlock: {cidr: 010.0.0.0/8, except: [10.1.2.3/16]}}`))
	for peers, want := range map[string]string{
		`{ipBlock: {cidr: 10.1.2.3/16}}, {ipBlock: {cidr: 010.0.0.0/8}}`: "",
		`{ipBlock: {cidr: 011.0.0.0/8}}`:                                 `spec.egress[0].to[0].ipBlock.cidr: Invalid value: "011.0.0.0/8": must not have leading 0s...`,
	} {
		matches(t, update(k, read(t, k, peer(peers)), old), want)
	}
}

// An address in a form that programs read in different ways is refused; what is stored stays.
func TestAddressesAreStrict(t *testing.T) {
	const octal, mapped = `Invalid value: "010.0.0.1": must not have leading 0s...`, `Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address...`
	for _, c := range []struct {
		k             *api.Kind
		changes, want string
	}{
		{core.Services, `{spec: {externalIPs: [010.0.0.1]}}`, "spec.externalIPs[0]: " + octal},
		{core.Services, `{spec: {externalIPs: ["::ffff:1.2.3.4"]}}`, "spec.externalIPs[0]: " + mapped},
		{core.Services, `{spec: {clusterIP: 010.0.0.1, clusterIPs: [010.0.0.1]}}`, "spec.clusterIPs[0]: " + octal},
		{core.Services, `{spec: {type: LoadBalancer, loadBalancerSourceRanges: [10.1.2.3/8]}}`, `spec.loadBalancerSourceRanges[0]: Invalid value: "10.1.2.3/8": must not have bits set beyond the prefix length...`},
		{core.Pods, `{spec: {dnsPolicy: None, dnsConfig: {nameservers: [010.0.0.1]}}}`, "spec.dnsConfig.nameservers[0]: " + octal},
		{core.Pods, `{spec: {hostAliases: [{ip: 010.0.0.1, hostnames: [a]}]}}`, "spec.hostAliases[0].ip: " + octal},
		{core.Nodes, `{spec: {podCIDR: 10.1.2.3/8, podCIDRs: [10.1.2.3/8]}}`, `spec.podCIDRs[0]: Invalid value: "10.1.2.3/8": must not have bits set beyond the prefix length...`},
	} {
		matches(t, create(c.k, read(t, c.k, c.changes)), c.want)
	}
	const stored = `{spec: {externalIPs: [010.0.0.1]}}`
	matches(t, update(core.Services, read(t, core.Services, stored), read(t, core.Services, stored)), "")
	const balanced = `spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: true, externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster}, status: {loadBalancer: {ingress: `
	for _, c := range []struct{ old, ingress, want string }{
		{`[]`, `[{ip: 010.0.0.1, ipMode: VIP}]`, "status.loadBalancer.ingress[0].ip: " + octal},
		{`[{ip: 010.0.0.1, ipMode: VIP}]`, `[{ip: 010.0.0.1, ipMode: VIP}]`, ""},
		{`[]`, `[{hostname: 10.0.0.1}]`, `status.loadBalancer.ingress[0].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address`},
	} {
		old, next := read(t, core.Services, `{`+balanced+c.old+`}}}`), read(t, core.Services, `{`+balanced+c.ingress+`}}}`)
		matches(t, core.Services.ValidateStatus(next, old), c.want)
	}
}
