Feature: A label that no node has

  @N5
  Scenario: the index is Pending
    Then pod "index" is Pending
    And `kubectl describe pod index` prints a line like "Warning +FailedScheduling .*didn't match Pod's node affinity/selector"

  @N5
  Scenario: the index runs on the node with the fast disk
    Then pod "index" is running and ready
    And `kubectl get node $(kubectl get pod index -o jsonpath={.spec.nodeName}) -o jsonpath={.metadata.labels.drill-disk}` prints "ssd"
