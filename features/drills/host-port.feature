Feature: A port that is taken

  @T5
  Scenario: pods are Pending, because of a port
    Then `kubectl describe pods -l app=gate --show-events` prints a line like "Warning +FailedScheduling .*didn't have free ports"

  @T5
  Scenario: three replicas run, and each node has the port of the service
    Then 3 pods with label "app=gate" are running and ready
    And the node port of service "gate" answers "/" on every node with "gate"
