@long
Feature: Ingress
  The server of the cluster serves Ingresses itself, on ports 80 and 443 of an address. The scenarios follow the features of upstream's
  conformance suite for Ingress controllers: default backend, host rules, path rules, class, load balancing; then TLS and rollouts.

  Background:
    Given echo servers behind the services "echo-service, foo-bar-com, wildcard-foo-com, foo-exact, foo-prefix, aaa-slash-bbb-prefix, aaa-prefix, aaa-slash-bbb-slash-prefix, foo-slash-exact"

  Scenario: the default class is the cluster's own
    Then `kubectl get ingressclass` prints a line like "^wheelhouse +wheelhouse.dev/ingress +<none> "
    And `kubectl get ingressclass wheelhouse -o jsonpath={.metadata.annotations}` prints "ingressclass.kubernetes.io/is-default-class"
    When `kubectl create ingress plain --rule=plain.example/*=echo-service:8080` succeeds
    Then `kubectl get ingress plain` prints a line like "^plain +wheelhouse +plain.example +10\.[0-9.]+ +80 "
    And `curl -s -H "Host: plain.example" http://$(kubectl get ingress plain -o jsonpath={.status.loadBalancer.ingress[0].ip})/from-the-host` prints "from-the-host"
    And `wheelhouse why ingress/plain` prints "the controller serves it at 10."
    And `kubectl run asks --image=busybox:1.35 --restart=Never --command -- wget -q -O - --header "Host: plain.example" http://ingress.kube-system/from-a-pod` succeeds
    And `kubectl logs asks` prints "from-a-pod"

  Scenario: default backend: an Ingress without rules sends all requests there
    Given the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: Ingress
      metadata: {name: default-backend}
      spec:
        defaultBackend: {service: {name: echo-service, port: {number: 8080}}}
      """
    Then requests through ingress "default-backend" are answered:
      | request                        | answer       |
      | GET http://my-host/            | echo-service |
      | GET http://my-host/sub-path    | echo-service |
      | POST http://some-host/         | echo-service |
      | PUT http:///resource           | echo-service |
      | DELETE http://some-host/resource | echo-service |
      | PATCH http://my-host/resource  | echo-service |

  Scenario: host rules: names, wildcards, and TLS
    Given `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=foo.bar.com -addext subjectAltName=DNS:foo.bar.com -keyout foo.key -out foo.crt` succeeds
    And `kubectl create secret tls conformance-tls --cert=foo.crt --key=foo.key` succeeds
    And the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: Ingress
      metadata: {name: host-rules}
      spec:
        tls:
        - {hosts: [foo.bar.com], secretName: conformance-tls}
        rules:
        - host: "*.foo.com"
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: wildcard-foo-com, port: {number: 8080}}}}]}
        - host: foo.bar.com
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: foo-bar-com, port: {name: http}}}}]}
      """
    Then requests through ingress "host-rules" are answered:
      | request                     | answer           |
      | GET http://foo.bar.com/     | foo-bar-com      |
      | GET https://foo.bar.com/    | foo-bar-com      |
      | GET http://bar.foo.com/     | wildcard-foo-com |
      | GET http://subdomain.bar.com/ | 404            |
      | GET http://baz.bar.foo.com/ | 404              |
      | GET http://foo.com/         | 404              |
    And `kubectl get ingress host-rules` prints a line like "^host-rules +wheelhouse +\*.foo.com,foo.bar.com +10[.0-9]+ +80, 443 "

  Scenario: path rules: exact, prefix, and what comes first
    Given the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: Ingress
      metadata: {name: path-rules}
      spec:
        rules:
        - host: exact-path-rules
          http:
            paths:
            - {path: /foo, pathType: Exact, backend: {service: {name: foo-exact, port: {number: 8080}}}}
        - host: prefix-path-rules
          http:
            paths:
            - {path: /foo, pathType: Prefix, backend: {service: {name: foo-prefix, port: {number: 8080}}}}
            - {path: /aaa/bbb, pathType: Prefix, backend: {service: {name: aaa-slash-bbb-prefix, port: {number: 8080}}}}
            - {path: /aaa, pathType: Prefix, backend: {service: {name: aaa-prefix, port: {number: 8080}}}}
        - host: mixed-path-rules
          http:
            paths:
            - {path: /foo, pathType: Prefix, backend: {service: {name: foo-prefix, port: {number: 8080}}}}
            - {path: /foo, pathType: Exact, backend: {service: {name: foo-exact, port: {number: 8080}}}}
        - host: trailing-slash-path-rules
          http:
            paths:
            - {path: /aaa/bbb/, pathType: Prefix, backend: {service: {name: aaa-slash-bbb-slash-prefix, port: {number: 8080}}}}
            - {path: /foo/, pathType: Exact, backend: {service: {name: foo-slash-exact, port: {number: 8080}}}}
      """
    Then requests through ingress "path-rules" are answered:
      | request                                        | answer                     |
      | GET http://exact-path-rules/foo                | foo-exact                  |
      | GET http://exact-path-rules/foo/               | 404                        |
      | GET http://exact-path-rules/FOO                | 404                        |
      | GET http://exact-path-rules/bar                | 404                        |
      | GET http://prefix-path-rules/foo               | foo-prefix                 |
      | GET http://prefix-path-rules/foo/              | foo-prefix                 |
      | GET http://prefix-path-rules/FOO               | 404                        |
      | GET http://prefix-path-rules/aaa/bbb           | aaa-slash-bbb-prefix       |
      | GET http://prefix-path-rules/aaa/bbb/ccc       | aaa-slash-bbb-prefix       |
      | GET http://prefix-path-rules/aaa/ccc           | aaa-prefix                 |
      | GET http://prefix-path-rules/aaaccc            | 404                        |
      | GET http://mixed-path-rules/foo                | foo-exact                  |
      | GET http://mixed-path-rules/foo/bar            | foo-prefix                 |
      | GET http://trailing-slash-path-rules/aaa/bbb   | aaa-slash-bbb-slash-prefix |
      | GET http://trailing-slash-path-rules/aaa/bbb/  | aaa-slash-bbb-slash-prefix |
      | GET http://trailing-slash-path-rules/foo       | 404                        |
      | GET http://trailing-slash-path-rules/foo/      | foo-slash-exact            |

  Scenario: class: an Ingress of a class that does not exist is not served
    Given the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: Ingress
      metadata: {name: of-no-class}
      spec:
        ingressClassName: some-invalid-class-name
        rules:
        - host: ingress-class
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: echo-service, port: {number: 8080}}}}]}
      ---
      apiVersion: networking.k8s.io/v1
      kind: Ingress
      metadata: {name: of-ours}
      spec:
        rules:
        - host: ingress-ours
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: echo-service, port: {number: 8080}}}}]}
      """
    Then requests through ingress "of-ours" are answered:
      | request                   | answer       |
      | GET http://ingress-ours/  | echo-service |
      | GET http://ingress-class/ | 404          |
    And `kubectl get ingress of-no-class -o jsonpath={.status.loadBalancer.ingress}` prints nothing

  Scenario: load balancing: all pods have requests, and a rollout loses none
    Given the objects:
      """
      apiVersion: networking.k8s.io/v1
      kind: Ingress
      metadata: {name: load-balancing}
      spec:
        rules:
        - host: load-balancing
          http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: echo-service, port: {number: 8080}}}}]}
      """
    When `kubectl scale deployment echo --replicas=10 && kubectl rollout status deployment/echo --timeout=80s` prints "successfully rolled out"
    Then 100 requests through ingress "load-balancing" to "http://load-balancing/" are answered by 10 pods
    When clients send requests through ingress "load-balancing" to "http://load-balancing/" without rest
    And `kubectl rollout restart deployment echo && kubectl rollout status deployment/echo --timeout=80s` prints "successfully rolled out"
    And `kubectl create ingress another --rule=another.example/*=echo-service:8080 && kubectl delete ingress another` prints "deleted"
    And `kubectl scale deployment echo --replicas=2 && kubectl rollout status deployment/echo --timeout=80s` prints "successfully rolled out"
    Then no request through the ingress was lost
