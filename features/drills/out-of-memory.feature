Feature: Beyond the memory limit

  @W9
  Scenario: the sorter is killed
    Then `kubectl describe pod -l app=sorter` prints:
      """
      Reason: OOMKilled
      Exit Code: 137
      """

  @W9
  Scenario: the sorter sorts
    Then `kubectl get deployment sorter -o jsonpath={.status.updatedReplicas},{.status.availableReplicas},{.status.replicas}` prints "1,1,1"
    And `kubectl logs deployment/sorter` prints "16777216 letters are sorted"
