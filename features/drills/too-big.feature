Feature: A pod that is too big

  @N5
  Scenario: the pod is Pending and has no node
    Then `kubectl get pods -l app=report` prints a line like "^report-.* 0/1 +Pending +0 "
    And `kubectl describe pod -l app=report` prints a line like "Warning +FailedScheduling .*Insufficient memory"

  @N5
  Scenario: the pod has a node and runs
    Then `kubectl get deployment report -o jsonpath={.status.updatedReplicas},{.status.availableReplicas},{.status.replicas}` prints "1,1,1"
    And 1 pod with label "app=report" is running and ready
