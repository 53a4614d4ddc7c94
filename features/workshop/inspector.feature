Feature: Replicas and a service
  What labs/workshop/02-inspector: each scenario holds at the point of the text that names it.

  @W15
  Scenario: the controller keeps one pod
    Then 1 pod with label "app=inspector" is running and ready
    And `kubectl get rc` prints the columns "NAME DESIRED CURRENT READY AGE"
    And `kubectl get rc inspector -o wide` prints a line like "^inspector +1 +1 +1 .* inspector +b.gcr.io/kuar/inspector:1.0.0 +app=inspector,track=stable"

  @W15
  Scenario: five pods run
    Then 5 pods with label "app=inspector" are running and ready
    And the pods with label "app=inspector" run on 2 nodes
    And `kubectl get rc inspector` prints a line like "^inspector +5 +5 +5 "

  @W15
  Scenario: a pod with another label is replaced
    Then 5 pods with label "app=inspector,track=stable" are running and ready
    And 1 pod with label "track=odd" is running and ready

  @W15
  Scenario: two pods are left
    Then 2 pods with label "app=inspector" are running and ready

  @W18
  Scenario: port 36000 is refused, with the reason
    Then `kubectl create --dry-run=server -f inspector-svc-36000.yaml` fails with "spec.ports[0].nodePort: Invalid value: 36000: provided port is not in the valid range. The range of valid ports is 30000-32767"
    And `kubectl get svc inspector` fails with "NotFound"

  @W18
  Scenario: the service has a node port
    Then the node port of service "inspector" lies between 30000 and 32767
    And `kubectl get svc/inspector -o template -t "{{.spec.ports}}"` prints a line like "map.name:http nodePort:3[0-2][0-9]+ port:80 protocol:TCP targetPort:80"
    And service "inspector" has as endpoints the 2 ready pods with label "app=inspector"

  @W19
  Scenario: different pods answer on every node
    Then the node port of service "inspector" answers "/" on every node with "Version: Inspector 1.0.0"
    And all 2 pods with label "app=inspector" answer "/net" through the node port of service "inspector"
    And the node port of service "inspector" answers "/env" on every node with "KUBERNETES_SERVICE_HOST"
    And the node port of service "inspector" answers "/mnt" on every node with "/var/run/secrets/kubernetes.io/serviceaccount"
    And port 80 of service "inspector" answers "/net" with "eth0"
