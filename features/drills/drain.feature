Feature: A drain that waits

  @T1
  Scenario: the node is cordoned and the pod still there
    Then `kubectl get node $(kubectl get pod -l app=tickets -o jsonpath={.items[0].spec.nodeName})` prints a line like "SchedulingDisabled"

  @T1
  Scenario: no pod of the deployment is on the cordoned node
    Then 2 pods with label "app=tickets" are running and ready
    And `for node in $(kubectl get pod -l app=tickets -o jsonpath={.items[*].spec.nodeName}); do kubectl get node $node -o jsonpath={.spec.unschedulable}; done` prints nothing
