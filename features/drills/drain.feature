Feature: A drain that waits

  @T1
  Scenario: the node is cordoned and the pod still there
    Then `kubectl get nodes -l repair=today` prints a line like "SchedulingDisabled"
    And 1 pod with label "app=tickets" is running and ready
    And `[ "$(kubectl get pod -l app=tickets -o jsonpath={.items[*].spec.nodeName})" = "$(kubectl get nodes -l repair=today -o jsonpath={.items[*].metadata.name})" ] && echo there` prints "there"

  @T1
  Scenario: no pod of the deployment is on the cordoned node
    Then 2 pods with label "app=tickets" are running and ready
    And `for node in $(kubectl get pod -l app=tickets -o jsonpath={.items[*].spec.nodeName}); do kubectl get node $node -o jsonpath={.spec.unschedulable}; done` prints nothing
