Feature: A pod that waits for another

  @M4
  Scenario: the pod does not come past its init container
    Then `kubectl get pods -l app=web` prints a line like "^web-.* 0/1 +Init:0/1 +0 "
    And pod "database" is running and ready

  @M4
  Scenario: the database answers, and the pod starts
    Then `kubectl get deployment web -o jsonpath={.status.updatedReplicas},{.status.availableReplicas},{.status.replicas}` prints "1,1,1"
