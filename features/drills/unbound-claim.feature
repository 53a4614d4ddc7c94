Feature: A claim that no volume fits

  @W13
  Scenario: the pod and its claim are Pending
    Then pod "diary" is Pending
    And `kubectl get pvc diary` prints a line like "^diary +Pending "

  @W13
  Scenario: the claim is bound, and the pod runs
    Then claim "diary" is bound to volume "drill-disk"
    And pod "diary" is running and ready
