Feature: Killed while it starts

  @W7
  Scenario: the archive is restarted while it starts
    Then `kubectl get pods -l app=archive` prints a line like "^archive-.* 0/1 .* [1-9][0-9]* +\(|^archive-.* [01]/1 +Running +[1-9]"
    And `kubectl describe pod -l app=archive` prints "Liveness probe failed"

  @W7
  Scenario: the archive starts, without a restart
    Then `kubectl get deployment archive -o jsonpath={.status.updatedReplicas},{.status.availableReplicas},{.status.replicas}` prints "1,1,1"
    And `kubectl get pods -l app=archive` prints a line like "^archive-.* 1/1 +Running +0 "
    And `kubectl exec deployment/archive -- wget -q -O - http://127.0.0.1/` prints "found"
